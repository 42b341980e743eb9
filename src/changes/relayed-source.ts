/**
 * One process reads the log, and tells the others through a relay. Each tries to be the one when
 * nobody is heard; which one may, the lock of the inner source decides. It decides when to try and
 * when to give way. What it tells its handler is never more than was told to it without a gap.
 */
import { randomUUID } from 'node:crypto';
import { inBackground } from '../async-context.js';
import type { ChangeRelay, RelayListening } from '../change-relay.js';
import type { ChangeHandler, ChangeSource, ChangeStart, ChangeSubscription } from '../change-source.js';
import { clearInterval, clearTimeout, performance, setImmediate, setInterval, setTimeout } from '../clock.js';
import { settledWithin } from '../deadline.js';
import { decodeRelayMessage } from './relay-message.js';
import { compareEpochs, RelayReader } from './relay-reader.js';
import { RelayWriter } from './relay-writer.js';

export interface RelayTimes {
  /** A leader tells at least so often that it is there. Default 1,000. */
  readonly heartbeatMillis: number;
  /** A leader that was not heard for so long is taken for gone. Default 3,000. */
  readonly silenceMillis: number;
  /** A process that has just begun waits only so long for a leader. Default 1,500. */
  readonly firstSilenceMillis: number;
  /** Up to so much is added by chance, so that not all try at once. Default 1,000. */
  readonly jitterMillis: number;
  /** At most one message in that time. Default 5. */
  readonly gatherMillis: number;
  /** A leader that does not hear itself for so long gives way. It doubles each time. Default 15,000. */
  readonly deafMillis: number;
}

export interface RelayedSourceOptions {
  /**
   * Reads the log. Only one process at a time may begin: it takes a lock, and goes on trying until
   * it has it or is closed.
   */
  readonly source: ChangeSource;
  readonly relay: ChangeRelay;
  /**
   * Names what is told: cluster, database and publication, in at most 256 characters. `undefined`
   * while that is not known: then nothing is told to others, nor heard of them.
   */
  readonly stream: () => string | undefined;
  readonly times?: Partial<RelayTimes>;
}

/**
 * `waiting`: for a leader, or until it may try. `trying`: to become the leader. `following`: it
 * hears one.
 */
export type RelayRole = 'waiting' | 'trying' | 'leading' | 'following';

export interface RelayStats {
  readonly role: RelayRole;
  /** Messages that are none, or are too long. */
  readonly malformedCount: number;
  /** Of another cluster, database or publication. */
  readonly foreignCount: number;
  /** Of leaders that were replaced. */
  readonly staleCount: number;
  /** That came a second time. */
  readonly repeatedCount: number;
  /** How often messages were missing. */
  readonly gapCount: number;
}

const DEFAULT_TIMES: RelayTimes = {
  heartbeatMillis: 1_000,
  silenceMillis: 3_000,
  firstSilenceMillis: 1_500,
  jitterMillis: 1_000,
  gatherMillis: 5,
  deafMillis: 15_000,
};
/**
 * When a timer comes so late, this process stood still: what was told meanwhile is read before it
 * concludes anything.
 */
const STOOD_STILL_MILLIS = 250;
/** A leader that has ended said so: then others try after up to so much. */
const LEFT_JITTER_MILLIS = 250;
const MAX_DEAF_MILLIS = 600_000;
/** So long for the inner source to end before it begins anew. */
const CLOSE_MILLIS = 5_000;

const NOBODY: RelayStats = {
  role: 'waiting',
  malformedCount: 0,
  foreignCount: 0,
  staleCount: 0,
  repeatedCount: 0,
  gapCount: 0,
};

export class RelayedSource implements ChangeSource {
  readonly #options: RelayedSourceOptions;
  #participant: Participant | undefined;

  constructor(options: RelayedSourceOptions) {
    this.#options = options;
  }

  /** Of the last that has subscribed. */
  get stats(): RelayStats {
    return this.#participant?.stats ?? NOBODY;
  }

  subscribe(handler: ChangeHandler): ChangeSubscription {
    const participant = inBackground(() => new Participant(handler, this.#options));
    this.#participant = participant;
    return participant;
  }
}

/** One process among those that share a relay. */
class Participant implements ChangeSubscription {
  readonly #handler: ChangeHandler;
  readonly #options: RelayedSourceOptions;
  readonly #times: RelayTimes;
  readonly #reader: RelayReader;
  readonly #listening: RelayListening;
  readonly #counts = { malformedCount: 0, foreignCount: 0 };
  /** Present while this process tries to lead, or leads. */
  #inner: ChangeSubscription | undefined;
  #isTrying = false;
  #closing: Promise<void> = Promise.resolve();
  /** Present while it leads. */
  #writer: RelayWriter | undefined;
  #isClosed = false;
  /** When a leader was heard last. */
  #heardAt = Number.NEGATIVE_INFINITY;
  /** When this process, as the leader, has heard itself last. */
  #echoAt = 0;
  #deafMillis: number;
  #beatAt = 0;
  #sentAt = 0;
  #watch: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #isSendingSoon = false;
  #sending: NodeJS.Timeout | undefined;

  constructor(handler: ChangeHandler, options: RelayedSourceOptions) {
    this.#handler = handler;
    this.#options = options;
    this.#times = { ...DEFAULT_TIMES, ...options.times };
    this.#deafMillis = this.#times.deafMillis;
    this.#reader = new RelayReader(handler);
    this.#listening = options.relay.listen((text) => this.#hear(text));
    this.#await(this.#times.firstSilenceMillis);
  }

  get stats(): RelayStats {
    return { role: this.#role, ...this.#counts, ...this.#reader.counts };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return this.#closing;
    this.#isClosed = true;
    clearTimeout(this.#watch);
    // The lock is free before others hear that they may try.
    this.#giveWay();
    await this.#closing;
    this.#listening.close();
  }

  get #role(): RelayRole {
    if (this.#writer !== undefined) return 'leading';
    if (this.#isTrying) return 'trying';
    return this.#reader.isTelling ? 'following' : 'waiting';
  }

  #isSilent(): boolean {
    return performance.now() - this.#heardAt > this.#times.silenceMillis;
  }

  #hear(text: string): void {
    if (this.#isClosed) return;
    const message = decodeRelayMessage(text);
    if (message === undefined) {
      this.#counts.malformedCount++;
      return;
    }
    if (message.stream !== this.#options.stream()) {
      this.#counts.foreignCount++;
      return;
    }
    const own = this.#writer?.epoch;
    if (message.epoch.id === own?.id) {
      this.#echoAt = performance.now();
      this.#deafMillis = this.#times.deafMillis;
      return;
    }
    if (own !== undefined) {
      // Two lead: the one with the older epoch has lost its lock, and has not noticed yet.
      if (this.#reader.isOver(message.epoch) || compareEpochs(message.epoch, own) < 0) {
        this.#reader.counts.staleCount++;
        return;
      }
      this.#giveWay('another process reads the log now');
    }
    const hearing = this.#reader.hear(message, this.#isSilent());
    if (hearing === 'stale' || hearing === 'repeated') return;
    this.#heardAt = hearing === 'left' ? Number.NEGATIVE_INFINITY : performance.now();
    if (hearing === 'left') this.#await(0, LEFT_JITTER_MILLIS);
    else if (hearing === 'heard' && this.#isTrying) this.#giveWay();
  }

  /** Tries to lead when no leader was heard for so long. */
  #await(millis: number, jitterMillis = this.#times.jitterMillis): void {
    clearTimeout(this.#watch);
    if (this.#isClosed) return;
    const wait = millis + Math.random() * jitterMillis;
    const dueAt = performance.now() + wait;
    this.#watch = setTimeout(() => this.#awaited(dueAt), wait);
    this.#watch.unref();
  }

  #awaited(dueAt: number): void {
    if (this.#isTrying) return;
    const now = performance.now();
    const silentFor = now - this.#heardAt;
    if (now - dueAt > STOOD_STILL_MILLIS) {
      this.#await(STOOD_STILL_MILLIS, 0);
    } else if (silentFor < this.#times.silenceMillis) {
      this.#await(this.#times.silenceMillis - silentFor);
    } else {
      this.#reader.stop('the process that reads the log is silent');
      this.#isTrying = true;
      void this.#open();
    }
  }

  async #open(): Promise<void> {
    await settledWithin(this.#closing, CLOSE_MILLIS, true);
    if (!this.#isTrying || this.#isClosed || this.#inner !== undefined) return;
    let isOpen = true;
    const whileOpen =
      <A extends unknown[]>(fn: (...args: A) => void) =>
      (...args: A): void => {
        if (isOpen) fn(...args);
      };
    const inner = this.#options.source.subscribe({
      began: whileOpen((start: ChangeStart) => this.#began(start)),
      changed: whileOpen((...change: Parameters<ChangeHandler['changed']>) => this.#changed(...change)),
      reached: whileOpen((lsn: bigint) => this.#reached(lsn)),
      broken: whileOpen((reason: string) => this.#broken(reason)),
    });
    this.#inner = {
      close: async () => {
        isOpen = false;
        await inner.close();
      },
    };
  }

  /** Ends to lead, or to try, and waits for a leader. */
  #giveWay(reason?: string): void {
    const inner = this.#inner;
    const end = this.#endEpoch();
    this.#isTrying = false;
    this.#inner = undefined;
    if (inner !== undefined) {
      this.#closing = inner
        .close()
        .catch(() => undefined)
        .then(() => end?.('left'));
    }
    if (reason !== undefined) this.#handler.broken(reason);
    this.#await(this.#times.silenceMillis);
  }

  #began(start: ChangeStart): void {
    this.#reader.leave('this process reads the log itself now');
    this.#endEpoch()?.('broken');
    this.#writer = new RelayWriter(start, randomUUID());
    this.#echoAt = performance.now();
    this.#beatAt = this.#echoAt;
    this.#heartbeat = setInterval(() => this.#beat(), this.#times.heartbeatMillis);
    this.#heartbeat.unref();
    this.#handler.began(start);
    this.#send(true);
  }

  #changed(changes: Parameters<ChangeHandler['changed']>[0], lsn: bigint): void {
    this.#handler.changed(changes, lsn);
    this.#writer?.changed(changes, lsn);
    if (this.#writer?.isFull === true) this.#send(false);
    else this.#sendSoon();
  }

  #reached(lsn: bigint): void {
    this.#handler.reached(lsn);
    this.#writer?.reached(lsn);
    this.#sendSoon();
  }

  #broken(reason: string): void {
    this.#endEpoch()?.('broken');
    this.#handler.broken(reason);
  }

  /** What it returns tells the others. */
  #endEpoch(): ((end: 'broken' | 'left') => void) | undefined {
    const writer = this.#writer;
    if (writer === undefined) return undefined;
    this.#writer = undefined;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#sending);
    this.#isSendingSoon = false;
    this.#reader.endEpoch(writer.epoch);
    return (end) => this.#publish(writer, false, end);
  }

  #beat(): void {
    const now = performance.now();
    const stoodStill = now - this.#beatAt > 2 * this.#times.heartbeatMillis;
    this.#beatAt = now;
    if (!stoodStill && now - this.#echoAt > this.#deafMillis) {
      this.#deafMillis = Math.min(2 * this.#deafMillis, MAX_DEAF_MILLIS);
      this.#giveWay('what this process tells the others does not come back: another one may try');
      return;
    }
    this.#send(true);
  }

  #sendSoon(): void {
    if (this.#isSendingSoon || this.#writer?.hasNews !== true) return;
    this.#isSendingSoon = true;
    const wait = this.#sentAt + this.#times.gatherMillis - performance.now();
    if (wait <= 0) {
      setImmediate(this.#sendNow);
      return;
    }
    this.#sending = setTimeout(this.#sendNow, wait);
    this.#sending.unref();
  }

  readonly #sendNow = (): void => {
    this.#isSendingSoon = false;
    if (this.#writer?.hasNews === true) this.#send(false);
  };

  #send(isComplete: boolean): void {
    this.#sentAt = performance.now();
    if (this.#writer !== undefined) this.#publish(this.#writer, isComplete);
  }

  #publish(writer: RelayWriter, isComplete: boolean, end?: 'broken' | 'left'): void {
    const stream = this.#options.stream();
    const text = writer.take(stream ?? '', isComplete, end);
    if (stream !== undefined) this.#options.relay.publish(text);
  }
}
