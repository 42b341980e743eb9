/**
 * Connections that may be dead: their server gave no answer, or the process did not run for a while. One that has
 * received anything since is sound. A statement that its server does not run, and that has no answer, will never get
 * one: its connection is given up. A statement that still runs is left alone.
 */
import { clearTimeout, setTimeout } from '../clock.js';
import { bytesReadOn, isBusy, isSocketGone } from '../postgres/internals.js';

/** What is asked on a connection that was opened since. Each rejects when the server does not answer. */
export interface Inquiry {
  /** Those backends, of the given ones, that run something, and whether each waits for its client to take what it sends. */
  running(pids: readonly number[]): Promise<ReadonlyMap<number, boolean>>;
  /** How to ask whether nothing goes on any more, behind a pooler, that did when it was first asked. */
  whetherAllOver(): () => Promise<boolean>;
}

export interface Suspect {
  readonly client: object;
  /** `undefined` where a pooler stands between, or it is not known yet. */
  readonly pid: number | undefined;
  /** Who uses it may pause it, so that its server waits for us. */
  readonly mayPause: boolean;
  /** How often its statement may be found missing before it is given up. */
  readonly patience: number;
}

/** Whose connections they are. */
export interface Sentence {
  /** What is known of it; `undefined` for one that waits for nothing. */
  readonly describe: (client: object) => Suspect | undefined;
  /** Closes it. */
  readonly giveUp: (client: object) => void;
  /** Whether the next look is not worth waiting for. */
  readonly isUrgent: boolean;
}

const LOOK_MILLIS = 1_000;

interface Mark {
  readonly bytes: number;
  missing: number;
}

export class Suspects {
  readonly #marks = new Map<object, Mark>();
  #isInvestigating = false;
  #lookNow: (() => void) | undefined;
  #isClosed = false;

  get count(): number {
    return this.#marks.size;
  }

  add(clients: Iterable<object>): void {
    for (const client of clients) {
      if (!this.has(client)) this.#marks.set(client, { bytes: bytesReadOn(client), missing: 0 });
    }
  }

  /** Whether it has received nothing since. */
  has(client: object): boolean {
    const mark = this.#marks.get(client);
    if (mark === undefined) return false;
    if (bytesReadOn(client) === mark.bytes && !isSocketGone(client)) return true;
    this.#marks.delete(client);
    return false;
  }

  delete(client: object): void {
    this.#marks.delete(client);
  }

  close(): void {
    this.#isClosed = true;
    this.#marks.clear();
    this.#lookNow?.();
  }

  /**
   * Looks at once, and then now and then, until none is left or the server does not answer.
   */
  async investigate(inquiry: Inquiry, sentence: Sentence): Promise<void> {
    if (sentence.isUrgent) this.#lookNow?.();
    if (this.#isInvestigating) return;
    this.#isInvestigating = true;
    const isAllOver = inquiry.whetherAllOver();
    try {
      while (this.#marks.size > 0 && !this.#isClosed) {
        await this.#look(inquiry, isAllOver, sentence);
        if (this.#marks.size > 0) await this.#rest();
      }
    } finally {
      this.#isInvestigating = false;
    }
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, LOOK_MILLIS).unref();
      this.#lookNow = () => {
        this.#lookNow = undefined;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #look(inquiry: Inquiry, isAllOver: () => Promise<boolean>, { describe, giveUp }: Sentence): Promise<void> {
    const waiting = [...this.#marks.keys()]
      .filter((client) => this.has(client))
      .map(describe)
      .filter((suspect) => suspect !== undefined);
    if (waiting.length === 0) return;
    const pids = waiting.map(({ pid }) => pid).filter((pid) => pid !== undefined);
    const running = pids.length === 0 ? new Map<number, boolean>() : await inquiry.running(pids);
    const isOver = pids.length === waiting.length || (await isAllOver());
    for (const { client, pid, mayPause, patience } of waiting) {
      const mark = this.#marks.get(client);
      if (mark === undefined || !this.has(client) || !isBusy(client)) continue;
      const isSending = pid === undefined ? undefined : running.get(pid);
      const isMissing = pid === undefined ? isOver : isSending === undefined || (isSending && !mayPause);
      mark.missing = isMissing ? mark.missing + 1 : 0;
      if (mark.missing > patience) giveUp(client);
    }
  }
}
