/**
 * Tells on stderr how far the demo is: a bar on a terminal, plain lines elsewhere. Never touches
 * stdout.
 */
import type { WriteStream } from 'node:tty';

const BAR_WIDTH = 30;
const REDRAW_MILLIS = 100;
const ERASE_LINE = '\r\x1b[K';

export class Progress {
  readonly #stream: WriteStream;
  #redraw: NodeJS.Timeout | undefined;

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** A line of its own. */
  say(text: string): void {
    this.#stop();
    this.#stream.write(`${text}\n`);
  }

  /** Something begins that takes so long; the next `say` or `end` ends it. */
  begin(title: string, millis: number): void {
    this.#stop();
    if (!this.#stream.isTTY) {
      this.#stream.write(`${title}: ${Math.round(millis / 1_000)} s...\n`);
      return;
    }
    const startAt = performance.now();
    const draw = () => {
      const share = Math.min(1, (performance.now() - startAt) / millis);
      const done = Math.round(share * BAR_WIDTH);
      const bar = '█'.repeat(done) + '░'.repeat(BAR_WIDTH - done);
      this.#stream.write(`${ERASE_LINE}${title.padEnd(20)}${bar} ${String(Math.floor(share * 100)).padStart(3)} %`);
    };
    draw();
    this.#redraw = setInterval(draw, REDRAW_MILLIS).unref();
  }

  /** Nothing is under way any more. */
  end(): void {
    this.#stop();
  }

  #stop(): void {
    if (this.#redraw === undefined) return;
    clearInterval(this.#redraw);
    this.#redraw = undefined;
    this.#stream.write(ERASE_LINE);
  }
}
