/**
 * The process that reads the log, towards the others: it sends what it has to tell, at most one
 * message in a few milliseconds, and at least one in a second. It notices when it cannot be heard.
 * What the messages say, `relay-writer.ts` decides.
 */
import { randomUUID } from 'node:crypto';
import type { ChangeStart, TableChange } from '../change-source.js';
import { clearInterval, clearTimeout, performance, setImmediate, setInterval, setTimeout } from '../clock.js';
import type { Lsn } from '../freshness/lsn.js';
import type { RelayEpoch, RelayMessage } from './relay-message.js';
import { RelayWriter } from './relay-writer.js';

export interface RelayLeaderOptions {
  /** It tells at least so often that it is there. */
  readonly heartbeatMillis: number;
  /** At most one message in that time. */
  readonly gatherMillis: number;
  readonly publish: (message: string) => void;
  /** `undefined` while it is not known: then nothing is told. */
  readonly stream: () => string | undefined;
  /** Called with each heartbeat: for how long it has not heard itself. */
  readonly unheard: (millis: number) => void;
}

export class RelayLeader {
  readonly #options: RelayLeaderOptions;
  readonly #writer: RelayWriter;
  readonly #heartbeat: NodeJS.Timeout;
  #isEnded = false;
  /** When it has heard itself last. */
  #echoAt = performance.now();
  #beatAt = this.#echoAt;
  #sentAt = 0;
  #isSendingSoon = false;
  #sending: NodeJS.Timeout | undefined;

  constructor(start: ChangeStart, options: RelayLeaderOptions) {
    this.#options = options;
    this.#writer = new RelayWriter(start, randomUUID());
    this.#heartbeat = setInterval(() => this.#beat(), options.heartbeatMillis);
    this.#heartbeat.unref();
    this.#send(true);
  }

  get epoch(): RelayEpoch {
    return this.#writer.epoch;
  }

  /** What it has told has come back. */
  echoed(): void {
    this.#echoAt = performance.now();
  }

  changed(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    this.#writer.changed(changes, lsn);
    if (this.#writer.isFull) this.#send(false);
    else this.#sendSoon();
  }

  reached(lsn: Lsn): void {
    this.#writer.reached(lsn);
    this.#sendSoon();
  }

  /** Sends nothing more. @returns tells the others that it has ended */
  end(): (why: 'broken' | 'left') => void {
    this.#isEnded = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#sending);
    return (why) => this.#publish(false, why);
  }

  #beat(): void {
    const now = performance.now();
    // Where this process stood still, what came meanwhile is read first.
    const stoodStill = now - this.#beatAt > 2 * this.#options.heartbeatMillis;
    this.#beatAt = now;
    if (!stoodStill) this.#options.unheard(now - this.#echoAt);
    this.#send(true);
  }

  #sendSoon(): void {
    if (this.#isSendingSoon || !this.#writer.hasNews) return;
    this.#isSendingSoon = true;
    const wait = this.#sentAt + this.#options.gatherMillis - performance.now();
    if (wait <= 0) {
      setImmediate(this.#sendNow);
      return;
    }
    this.#sending = setTimeout(this.#sendNow, wait);
    this.#sending.unref();
  }

  readonly #sendNow = (): void => {
    this.#isSendingSoon = false;
    if (this.#writer.hasNews) this.#send(false);
  };

  #send(isComplete: boolean): void {
    if (this.#isEnded) return;
    this.#sentAt = performance.now();
    this.#publish(isComplete);
  }

  #publish(isComplete: boolean, end?: RelayMessage['end']): void {
    const stream = this.#options.stream();
    const text = this.#writer.take(stream ?? '', isComplete, end);
    if (stream !== undefined) this.#options.publish(text);
  }
}
