/**
 * The rung that processes share: entries as texts in a store such as Redis. Positions are the same
 * everywhere; times are the store's own, since clocks of processes are never compared. What the
 * store says may be anybody's, late or gone: then there is no entry, and no caller waits for it.
 */
import { performance, setTimeout } from '../clock.js';
import { settledWithin } from '../deadline.js';
import { LadderError } from '../errors.js';
import { refreshPrimary } from '../execute/refresh-primary.js';
import type { Position } from '../freshness/position.js';
import type { CacheSettings } from '../options/cache.js';
import type { SharedFound, SharedLease, SharedStore, SharedSubscription, SharedTime } from '../shared-store.js';
import { CallBudget } from './budget.js';
import { CacheEntry } from './entry.js';
import { decodeEntry, encodeEntry } from './entry-codec.js';
import { type Forgettable, type Forgotten, isForgotten } from './forgetting.js';
import type { CacheGround } from './ground.js';
import { KeptAnswer } from './kept-answer.js';
import type { Lookup } from './lookup.js';
import { particularsOf } from './particulars.js';
import { SharedKeys } from './shared-keys.js';

/** How long another process may take to fill what it has asked to fill. */
const LEASE_MILLIS = 2_000;
/** An entry stays at least so long: where nothing is written, it does not grow old. */
const LEAST_LIFETIME_MILLIS = 60_000;
/** What is to be forgotten is told to those that start within so long; no entry lives longer. */
const MAX_LIFETIME_MILLIS = 3_600_000;
/** How long other processes have to say that they have forgotten. */
const FORGET_MILLIS = 5_000;
/** The primary is asked no more often where its log ends. */
const ASK_MILLIS = 10;
const NOTHING: Promise<undefined> = Promise.resolve(undefined);
/** In characters. */
const MAX_MESSAGE_LENGTH = 1_000_000;

/** A lease, and when it came, by our monotonic clock. */
export interface HeldLease extends SharedLease {
  readonly cameAt: number;
}

/** What was told to be forgotten, and when, by the store's time. */
interface Told {
  readonly forgotten: Forgotten | 'all';
  readonly at: SharedTime;
}

export class SharedRung {
  readonly budget: CallBudget;
  /** A store that is full answers reads: what it refuses says nothing of them. */
  readonly #writeBudget: CallBudget;
  readonly #store: SharedStore;
  readonly #ground: CacheGround;
  readonly #subscription: SharedSubscription | undefined;
  #told: Told[] = [];
  /** Where the primary's log ends: a question that is about to be asked, and when the last one was. */
  #asking: Promise<void> | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  readonly #keys = new SharedKeys();

  /** @param onForgotten told what any process, this one too, has said to be forgotten */
  constructor(
    store: SharedStore,
    { sharedTimeoutMillis }: CacheSettings,
    ground: CacheGround,
    onForgotten: (forgotten: Forgotten | 'all') => void,
  ) {
    this.#store = store;
    this.#ground = ground;
    this.budget = new CallBudget({ budgetMillis: sharedTimeoutMillis });
    this.#writeBudget = new CallBudget({ budgetMillis: sharedTimeoutMillis });
    const hear = (forgotten: Forgotten | 'all', at: SharedTime): void => {
      this.#told = [...this.#told.filter((told) => isAlive(told, at)), { forgotten, at }];
      onForgotten(forgotten);
    };
    this.#subscription = store.channel?.listen({
      heard: (message, at) => hear(forgottenIn(message), at),
      missed: (until) => hear('all', until),
    });
  }

  /** Whether all has been heard that this process was taken to have heard: else nothing that is kept may be given. */
  isCurrent(now: number): boolean {
    return this.#subscription?.isCurrent(now) !== false;
  }

  /** Looks for the entry; what is found is read by `entryIn`. */
  look(lookup: Lookup, now: number): Promise<SharedFound | undefined> {
    const key = this.#keyOf(lookup);
    return key === undefined ? NOTHING : this.budget.run(() => this.#store.get(key), now);
  }

  /**
   * The entry that was found, whether or not it is fresh enough. Whatever is wrong with it, it is no more than a miss.
   * @param askedAt our monotonic clock before it was looked for
   */
  entryIn(found: SharedFound, lookup: Lookup, askedAt: number): CacheEntry | undefined {
    try {
      return this.isCurrent(performance.now()) ? this.#entryFrom(found, lookup, askedAt) : undefined;
    } catch {
      // A parser's own source has failed: a server's answer will tell its caller.
      return undefined;
    }
  }

  /** Asks to be the only process that fills it. `undefined` where the store cannot say. */
  async lease(lookup: Lookup): Promise<HeldLease | undefined> {
    const key = this.#keyOf(lookup);
    if (key === undefined) return undefined;
    const lease = await this.#writeBudget.run(() => this.#store.lease(key, LEASE_MILLIS));
    return lease === undefined ? undefined : { ...lease, cameAt: performance.now() };
  }

  /** Nothing was kept after all. */
  release(lookup: Lookup): void {
    const key = this.#keyOf(lookup);
    if (key !== undefined) void this.#writeBudget.run(() => this.#store.release(key));
  }

  /**
   * What another process fills is waited for, a while.
   * @param millis how long
   */
  async awaitFill(
    lookup: Lookup,
    millis: number,
    isGood: (entry: CacheEntry) => boolean,
  ): Promise<CacheEntry | undefined> {
    const giveUpAt = performance.now() + millis;
    for (let pause = 1; performance.now() + pause <= giveUpAt; pause *= 2) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      const askedAt = performance.now();
      const found = await this.look(lookup, askedAt);
      const entry = found === undefined ? undefined : this.entryIn(found, lookup, askedAt);
      if (entry !== undefined && isGood(entry)) return entry;
    }
    return undefined;
  }

  /** Keeps an entry that was read under that lease, in the background. */
  async keep(entry: CacheEntry, lookup: Lookup, { time, cameAt }: HeldLease): Promise<void> {
    const key = this.#keyOf(lookup);
    const upTo = await this.#upToOf(entry);
    const { timeline, validFrom, node, server, clusterId } = entry.origin;
    if (key === undefined || upTo === undefined || upTo.timeline !== timeline || upTo.clusterId !== clusterId) {
      this.release(lookup);
      return;
    }
    const { particulars, answer } = entry;
    const { tags, named, costMillis } = particulars;
    // The replica may have been seen ahead of the primary, which was asked before.
    let seenUpTo = upTo.lsn;
    if (seenUpTo < validFrom) seenUpTo = validFrom;
    const text = encodeEntry({
      timeline,
      validFrom,
      seenUpTo,
      node,
      server,
      tags,
      named,
      costMillis: Math.round(costMillis * 1_000) / 1_000,
      clock: time.clock,
      // Whole numbers are read much faster, and lower ones are safe.
      freshAsOfMillis: Math.floor(time.millis - Math.max(0, cameAt - entry.freshAsOf)),
      askedAtMillis: Math.floor(time.millis),
      answer: answer.raw(),
    });
    const { maxStalenessMillis, staleIfErrorMillis } = lookup.terms;
    const wanted = 2 * Math.max(maxStalenessMillis, staleIfErrorMillis);
    const lifetimeMillis = Math.min(MAX_LIFETIME_MILLIS, Math.max(LEAST_LIFETIME_MILLIS, wanted));
    await this.#writeBudget.run(async () => {
      await this.#store.set(key, text, { timeline, lsn: validFrom }, lifetimeMillis);
      return true;
    });
  }

  /** @throws LadderError `LADDER_FORGET_INCOMPLETE` */
  async forget(forgotten: Forgotten): Promise<void> {
    const { channel } = this.#store;
    if (channel === undefined)
      throw new LadderError(
        'LADDER_FORGET_INCOMPLETE',
        'this process has forgotten; its shared store has no way to tell others',
      );
    await channel.tell(JSON.stringify(forgotten), MAX_LIFETIME_MILLIS, FORGET_MILLIS);
  }

  size(): Promise<number | undefined> {
    return this.budget.run(async () => this.#store.size());
  }

  async close(): Promise<void> {
    this.#subscription?.close();
    await this.#store.close();
  }

  /** @param askedAt our monotonic clock before the store was asked: what it says is taken for no younger than then */
  #entryFrom({ value, time }: SharedFound, lookup: Lookup, askedAt: number): CacheEntry | undefined {
    const { history, answerSources } = this.#ground.fleet;
    const { text, values } = lookup;
    const found = decodeEntry(value, text.knownColumns);
    const types = answerSources.current?.types;
    const { clusterId } = history;
    if (found === undefined || types === undefined || clusterId === undefined || found.clock !== time.clock)
      return undefined;
    const { timeline, validFrom, seenUpTo, node, server, tags, named, costMillis } = found;
    const { freshAsOfMillis, askedAtMillis } = found;
    // What is dated later than now, or beyond what the log can be, was not made by any of us.
    if (freshAsOfMillis > time.millis || askedAtMillis > time.millis || seenUpTo > history.ceilingAt(askedAt))
      return undefined;
    if (this.#isForgotten({ text, tags, named }, askedAtMillis, time)) return undefined;
    const answer = new KeptAnswer(
      found.answer.command,
      found.answer.rowCount,
      text.columnsRead(found.columns, found.answer.fields, types),
      found.answer.rows,
    );
    const freshAsOf = askedAt - (time.millis - freshAsOfMillis);
    const origin = {
      node,
      server,
      clusterId,
      timeline,
      validFrom,
      seenUpTo,
      freshAsOf,
      askedAt: Number.NEGATIVE_INFINITY,
      endedAt: Number.NEGATIVE_INFINITY,
    };
    const particulars = particularsOf(text, { tags, named, costMillis }, values, this.#ground.changes);
    return new CacheEntry(answer, origin, particulars, history);
  }

  #isForgotten(entry: Forgettable, askedAtMillis: number, { clock }: SharedTime): boolean {
    if (this.#told.length === 0) return false;
    const { catalog } = this.#ground.classifier;
    const fits = (forgotten: Forgotten): boolean => isForgotten(entry, forgotten, (name) => catalog.familyOf(name));
    return this.#told.some(
      ({ forgotten, at }) =>
        at.clock === clock && askedAtMillis <= at.millis && (forgotten === 'all' || fits(forgotten)),
    );
  }

  /** It shows nothing beyond what the primary says later. Those of one while share a question. */
  async #upToOf(entry: CacheEntry): Promise<Position | undefined> {
    const { fleet } = this.#ground;
    if (entry.upTo !== undefined) return entry.upTo;
    if (this.#asking === undefined) {
      const waitMillis = Math.max(0, this.#askedAt + ASK_MILLIS - performance.now());
      this.#asking = new Promise<void>((resolve) => setTimeout(resolve, waitMillis)).then(() => {
        this.#asking = undefined;
        this.#askedAt = performance.now();
        return refreshPrimary(fleet);
      });
    }
    await settledWithin(this.#asking, ASK_MILLIS + fleet.settings.hangMillis);
    return entry.upTo;
  }

  #keyOf(lookup: Lookup): string | undefined {
    const { clusterId } = this.#ground.fleet.history;
    return clusterId === undefined ? undefined : this.#keys.of(lookup, clusterId);
  }
}

function isAlive({ at }: Told, now: SharedTime): boolean {
  return at.clock === now.clock && now.millis - at.millis < MAX_LIFETIME_MILLIS;
}

/** What cannot be read may say anything. */
function forgottenIn(message: string): Forgotten | 'all' {
  if (message.length > MAX_MESSAGE_LENGTH) return 'all';
  try {
    const { tables, tags, digest } = JSON.parse(message) as Forgotten;
    const areTexts = [tables, tags].every((texts) => texts === undefined || isTexts(texts));
    return areTexts && (digest === undefined || typeof digest === 'string') ? { tables, tags, digest } : 'all';
  } catch {
    return 'all';
  }
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((text) => typeof text === 'string');
}
