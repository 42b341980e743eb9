/**
 * One process reads the log, and tells the others through a relay. Each tries to be the one when
 * none is heard; which one may, the lock of the inner source decides. It decides when to try and
 * when to give way. What it tells its handler is never more than was told to it without a gap.
 */
import { inBackground } from '../async-context.js';
import type { ChangeRelay, RelayListening } from '../change-relay.js';
import type { ChangeHandler, ChangeSource, ChangeStart, ChangeSubscription } from '../change-source.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { settledWithin } from '../deadline.js';
import { RelayLeader } from './relay-leader.js';
import { decodeRelayMessage } from './relay-message.js';
import { compareEpochs, RelayReader } from './relay-reader.js';
import { DEFAULT_RELAY_TIMES, type RelayTimes } from './relay-times.js';

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

/**
 * When a timer comes so late, this process stood still: what was told meanwhile is read before it
 * concludes anything.
 */
const STOOD_STILL_MILLIS = 250;
/** A leader that has ended said so: then others try after up to so much. */
const LEFT_JITTER_MILLIS = 250;
/** The relay has so long to pass on that a leader ends. */
const LEAVE_MILLIS = 100;
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
  #leader: RelayLeader | undefined;
  #isClosed = false;
  /** Its last message as a leader, while that is on its way. */
  #leaving: { readonly id: string; readonly heard: () => void } | undefined;
  /** When a leader was heard last. */
  #heardAt = Number.NEGATIVE_INFINITY;
  #deafMillis: number;
  #watch: NodeJS.Timeout | undefined;

  constructor(handler: ChangeHandler, options: RelayedSourceOptions) {
    this.#handler = handler;
    this.#options = options;
    this.#times = { ...DEFAULT_RELAY_TIMES, ...options.times };
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
    const epoch = this.#leader?.epoch;
    // The lock is free before others hear that they may try.
    this.#giveWay();
    await this.#closing;
    if (epoch !== undefined) await this.#comesBack(epoch.id);
    this.#listening.close();
  }

  /** What the relay was handed last may be lost when the application closes its client at once. */
  async #comesBack(id: string): Promise<void> {
    const heard = new Promise<void>((resolve) => {
      this.#leaving = { id, heard: resolve };
    });
    await settledWithin(heard, LEAVE_MILLIS, true);
  }

  get #role(): RelayRole {
    if (this.#leader !== undefined) return 'leading';
    if (this.#isTrying) return 'trying';
    return this.#reader.isTelling ? 'following' : 'waiting';
  }

  #isSilent(): boolean {
    return performance.now() - this.#heardAt > this.#times.silenceMillis;
  }

  #hear(text: string): void {
    const message = decodeRelayMessage(text);
    if (message?.epoch.id === this.#leaving?.id && message?.end !== undefined) this.#leaving?.heard();
    if (this.#isClosed) return;
    if (message === undefined) {
      this.#counts.malformedCount++;
      return;
    }
    if (message.stream !== this.#options.stream()) {
      this.#counts.foreignCount++;
      return;
    }
    const own = this.#leader?.epoch;
    if (message.epoch.id === own?.id) {
      this.#leader?.echoed();
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
    this.#handler.began(start);
    const { heartbeatMillis, gatherMillis } = this.#times;
    this.#leader = new RelayLeader(start, {
      heartbeatMillis,
      gatherMillis,
      publish: (message) => this.#options.relay.publish(message),
      stream: this.#options.stream,
      unheard: (millis) => this.#unheard(millis),
    });
  }

  #changed(changes: Parameters<ChangeHandler['changed']>[0], lsn: bigint): void {
    this.#handler.changed(changes, lsn);
    this.#leader?.changed(changes, lsn);
  }

  #reached(lsn: bigint): void {
    this.#handler.reached(lsn);
    this.#leader?.reached(lsn);
  }

  #broken(reason: string): void {
    this.#endEpoch()?.('broken');
    this.#handler.broken(reason);
  }

  /** What it returns tells the others. */
  #endEpoch(): ((why: 'broken' | 'left') => void) | undefined {
    const leader = this.#leader;
    if (leader === undefined) return undefined;
    this.#leader = undefined;
    this.#reader.endEpoch(leader.epoch);
    return leader.end();
  }

  #unheard(millis: number): void {
    if (millis <= this.#deafMillis) return;
    this.#deafMillis = Math.min(2 * this.#deafMillis, MAX_DEAF_MILLIS);
    this.#giveWay('what this process tells the others does not come back: another one may try');
  }
}
