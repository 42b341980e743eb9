/**
 * Tells a store's time between two looks at its clock, by our own. One look serves all reads for a
 * second, so that they cost no more than the bare command. It errs to the safe side: what is read
 * is told a time that is not too early, what is written one that is not too late.
 */
import { performance, wallMillis } from '../clock.js';
import type { SharedTime } from '../shared-store.js';

/** After so long it is asked anew, while what is known still serves; in milliseconds. */
const REFRESH_MILLIS = 1_000;
/** What is older serves no more. */
const MAX_AGE_MILLIS = 10_000;
/** An answer that takes longer is not waited for: it is asked anew. */
const MAX_ASKING_MILLIS = 3_000;
/**
 * How far two clocks go apart at most while they are adjusted: twice what a kernel allows itself.
 */
const DRIFT = 0.001;

/** A look at the clock: it was that late between the two moments of our own. */
interface Look extends SharedTime {
  readonly sentAt: number;
  readonly sentAtWall: number;
  readonly answeredAt: number;
}

export class RedisClock {
  readonly #ask: () => Promise<SharedTime>;
  #latest: Look | undefined;
  #asking: Promise<void> | undefined;
  #askedAt = 0;

  constructor(ask: () => Promise<SharedTime>) {
    this.#ask = ask;
  }

  /**
   * Notes what the store has told by the way.
   * @param sentAt our monotonic clock before it was asked
   * @param sentAtWall the time of day then: it goes on while the system sleeps
   */
  learn({ millis, clock }: SharedTime, sentAt: number, sentAtWall: number): void {
    // Answers can overtake each other between connections.
    if (this.#latest !== undefined && sentAt < this.#latest.sentAt) return;
    this.#latest = { millis, clock, sentAt, sentAtWall, answeredAt: performance.now() };
  }

  /** To be called before something is asked whose answer needs a time: both travel together. */
  prepare(): void {
    if (this.#latest === undefined || passedSince(this.#latest) > REFRESH_MILLIS)
      this.#refresh().catch(() => undefined);
  }

  /** Not before the store's time now. At once where it is known, which is nearly always. */
  notBefore(): SharedTime | Promise<SharedTime> {
    const known = this.#latest;
    if (known !== undefined) {
      const passed = passedSince(known);
      if (passed <= MAX_AGE_MILLIS) return latestOf(known, passed);
    }
    return this.#asked().then((look) => latestOf(look, passedSince(look)));
  }

  /** Not after the store's time now. */
  async notAfter(): Promise<SharedTime> {
    const { clock, millis, answeredAt } = this.#known() ?? (await this.#asked());
    return { clock, millis: millis + (performance.now() - answeredAt) * (1 - DRIFT) };
  }

  #known(): Look | undefined {
    return this.#latest !== undefined && passedSince(this.#latest) <= MAX_AGE_MILLIS ? this.#latest : undefined;
  }

  async #asked(): Promise<Look> {
    await this.#refresh();
    return this.#latest as Look;
  }

  /** One at a time. */
  #refresh(): Promise<void> {
    const now = performance.now();
    if (this.#asking !== undefined && now - this.#askedAt < MAX_ASKING_MILLIS) return this.#asking;
    this.#askedAt = now;
    const asking = this.#look().finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#asking = asking;
    return asking;
  }

  async #look(): Promise<void> {
    const sentAt = performance.now();
    const sentAtWall = wallMillis();
    this.learn(await this.#ask(), sentAt, sentAtWall);
  }
}

/** Since it was sent: the longer one by either of our clocks. */
function passedSince({ sentAt, sentAtWall }: Look): number {
  return Math.max(performance.now() - sentAt, wallMillis() - sentAtWall);
}

function latestOf({ clock, millis }: Look, passedMillis: number): SharedTime {
  return { clock, millis: millis + passedMillis * (1 + DRIFT) };
}
