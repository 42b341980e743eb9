/**
 * One listener of a channel on Redis. It comes again and again, and whenever it is woken: says that
 * it is there and what it has heard, and takes what it has not. It decides whether it is current.
 */
import { inNoContext } from '../async-context.js';
import { clearInterval, performance, setInterval, wallMillis } from '../clock.js';
import { within } from '../deadline.js';
import { noAnswer } from '../errors.js';
import type { SharedListener, SharedSubscription, SharedTime } from '../shared-store.js';

/** What a listener takes with it. */
export interface Heard {
  readonly clock: string;
  readonly number: number;
  readonly visitCount: number;
}

export interface Message {
  readonly number: number;
  readonly text: string;
  readonly at: SharedTime;
}

export interface News {
  readonly time: SharedTime;
  /** Of the last message that was told. */
  readonly number: number;
  /** What was told before may be missing among what is kept. */
  readonly completeSinceMillis: number;
  readonly messages: readonly Message[];
}

export interface ListeningOptions {
  /** How long somebody is present without coming again. */
  readonly presenceMillis: number;
  readonly everyMillis: number;
  readonly visit: (heard: Heard) => Promise<News>;
  readonly leave: () => void;
}

/**
 * One after the other: more than all that is kept takes. Answers that lead nowhere are no reason to
 * go on.
 */
const MAX_VISITS = 100;

const NOWHERE: Heard = { clock: '', number: -1, visitCount: 0 };

export class Listening implements SharedSubscription {
  readonly ready: Promise<void>;
  readonly #listener: SharedListener;
  readonly #options: ListeningOptions;
  readonly #timer: NodeJS.Timeout;
  #isReady: () => void = () => undefined;
  #heard = NOWHERE;
  #isComing = false;
  #hasToComeAgain = false;
  #isClosed = false;
  /** When we asked for what has shown that we have heard all. */
  #currentAt = Number.NEGATIVE_INFINITY;
  #currentAtWall = 0;

  constructor(listener: SharedListener, options: ListeningOptions) {
    this.#listener = listener;
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    this.#timer = setInterval(() => this.come(), options.everyMillis);
    this.#timer.unref();
    inNoContext(this.come);
  }

  isCurrent(now = performance.now()): boolean {
    const { presenceMillis } = this.#options;
    // Systems may stop the first clock while they sleep.
    return now - this.#currentAt < presenceMillis && wallMillis() - this.#currentAtWall < presenceMillis;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#currentAt = Number.NEGATIVE_INFINITY;
    clearInterval(this.#timer);
    this.#options.leave();
  }

  /** There may be news. */
  readonly come = (): void => {
    this.#hasToComeAgain = true;
    if (!this.#isComing) void this.#visits();
  };

  async #visits(): Promise<void> {
    this.#isComing = true;
    try {
      let left = MAX_VISITS;
      while (this.#hasToComeAgain && !this.#isClosed && left-- > 0) {
        this.#hasToComeAgain = false;
        await this.#visit();
      }
    } catch {
      // It comes again with the timer; until then it is not current for long.
    } finally {
      this.#isComing = false;
    }
  }

  async #visit(): Promise<void> {
    const { presenceMillis, visit } = this.#options;
    const sentAt = performance.now();
    const sentAtWall = wallMillis();
    const before = { ...this.#heard, visitCount: this.#heard.visitCount + 1 };
    this.#heard = before;
    const news = await within(visit(before), presenceMillis, () => noAnswer(presenceMillis), true);
    if (this.#isClosed) return;
    this.#hear(news);
    if (this.#heard.number < news.number) {
      this.#hasToComeAgain = true;
      return;
    }
    // What was heard is acknowledged at once.
    if (this.#heard.number !== before.number) this.#hasToComeAgain = true;
    this.#currentAt = sentAt;
    this.#currentAtWall = sentAtWall;
    this.#isReady();
  }

  #hear({ time, number, completeSinceMillis, messages }: News): void {
    const { clock } = time;
    const first = messages[0]?.number ?? number + 1;
    // Who comes for the first time has missed only what is not kept any more.
    if (this.#heard.clock === '') this.#listener.missed({ clock, millis: completeSinceMillis });
    else if (this.#heard.clock !== clock || this.#heard.number + 1 !== first) this.#listener.missed(time);
    this.#heard = { ...this.#heard, clock, number: first - 1 };
    for (const message of messages) {
      this.#listener.heard(message.text, message.at);
      this.#heard = { ...this.#heard, number: message.number };
    }
  }
}
