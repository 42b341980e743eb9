/**
 * Which replica answers a read, of those that are shown to be fresh enough, or why there is none: the key's own where the read has one, else the one that has less to do. Pure but for
 * chance, sends nothing, and allocates nothing: it runs for every read.
 */
import type { Reason } from '../events.js';
import { type Demand, type Gap, gapOf, meets, type Rung } from '../freshness/demand.js';
import { type Burden, betterOfTwo, costOf, isModest, isOutdone, isOutpaced, isPrompt } from './balance.js';
import type { Load } from './load.js';
import { keyFraction, rankOf } from './partition.js';

/** What the router must know of a replica. */
export interface Candidate extends Burden, Rung {
  /** Out of rotation: it answers only when no other replica is to be had. */
  readonly isEjected: boolean;
  /** Its pool stands still: it answers only when no other replica qualifies. */
  readonly isStalled: boolean;
  /** Its age with hysteresis, which decides whether its keys may come back to it. */
  readonly steadyAgeMillis: number;
  /** Of its name; see `partition.ts`. */
  readonly hash: number;
  /** Whether it stands where this process does. */
  readonly isNear: boolean;
  /** Statements that its pool runs side by side. */
  readonly capacity: number;
  readonly load: Load;
}

/** What a read asks of its replica, and what it would rather have. */
export interface Criteria<C> extends Demand {
  /** How old it may be. */
  readonly maxAgeMillis: number;
  /** The hash of the read's partition key. */
  readonly key: number | undefined;
  /** Over how many of the key's replicas its reads are spread, because it is hot; 1 when it is not. */
  readonly spread: number;
  /** Where the session last read. */
  readonly home: C | undefined;
  /** Whether it read there by the same key. */
  readonly isHomeOfKey: boolean;
  /** Whether the statement is known to be over in a moment. */
  readonly isBrief: boolean;
  /** Replicas that must not be chosen. */
  readonly except: ReadonlySet<C> | undefined;
}

/** Why no replica qualifies. */
export type Shortfall = Gap | 'no-candidate';

/** Why it is that one. */
export type Way = Extract<Reason, 'affinity' | 'partition' | 'next-in-order' | 'hot-key' | 'balanced'>;

/** A replica, or that there is none, and why. */
export type Choice<C, None = Shortfall> =
  | { readonly node: C; readonly why: Way; readonly passedOver: boolean }
  | { readonly node: undefined; readonly why: None; readonly passedOver: boolean };

/** The same two are looked at for so many reads, less one, as a mask, as long as these are over in a moment: a few in a row to the same one go out in one piece. */
const TURN_MASK = 7;
/** Statements that take longer pile up by themselves, and not by chance. */
const SHORT_MILLIS = 20;

export class Router<C extends Candidate> {
  readonly #loadFactor: number;
  /** Those that qualify. */
  readonly #able: C[] = [];
  /** Those of them in this process's zone, and the others. */
  readonly #near: C[] = [];
  readonly #far: C[] = [];
  /** Those that take the key. */
  readonly #open: C[] = [];
  readonly #ranks: number[] = [];
  #turn = 0;
  #isAtEase = false;
  #first = 0;
  #second = 0;

  constructor(loadFactor: number) {
    this.#loadFactor = loadFactor;
  }

  /** `passedOver` in the choice says whether a replica was skipped as behind or too stale, by what is known of it. */
  choose(candidates: readonly C[], criteria: Criteria<C>): Choice<C> {
    return this.#atOnce(candidates, criteria) ?? this.#amongAll(candidates, criteria);
  }

  /** Where the first to be looked at will do, as they mostly do, the others are not looked at: there may be many. */
  #atOnce(candidates: readonly C[], criteria: Criteria<C>): Choice<C> | undefined {
    const { key, spread, home } = criteria;
    if (candidates.length < 2 || spread > 1) return undefined;
    if (key !== undefined) {
      const first = foremost(candidates, key);
      if (!isAble(first, criteria) || !isOpen(first, key, criteria) || !isModest(first) || !isPrompt(first))
        return undefined;
      return chosenAs(first, first === home ? 'affinity' : 'partition');
    }
    if (home !== undefined) return undefined;
    this.#draw();
    const chosen = this.#betterOfTwo(candidates);
    const isFull = chosen.isNear && chosen.inFlight >= chosen.capacity;
    if (isAble(chosen, criteria) && !isFull && (chosen.isNear || !candidates.some(({ isNear }) => isNear))) {
      return chosenAs(chosen, 'balanced');
    }
    // What was drawn fell on one that will not do: among the others it is no chance any more.
    this.#turn = 0;
    return undefined;
  }

  #amongAll(candidates: readonly C[], criteria: Criteria<C>): Choice<C> {
    const { except } = criteria;
    this.#able.length = 0;
    this.#near.length = 0;
    this.#far.length = 0;
    let ejected: C | undefined;
    let stalled: C | undefined;
    let shortfall: Shortfall | undefined;
    for (const candidate of candidates) {
      if (candidate.lsn === undefined || except?.has(candidate)) continue;
      const gap = gapOf(candidate, criteria);
      if (candidate.isEjected) {
        if (gap === undefined) ejected = candidate;
      } else if (gap !== undefined) {
        // Of several the one that is nearest to an answer counts.
        if (shortfall !== 'too-stale') shortfall = gap;
      } else if (candidate.isStalled) {
        stalled = candidate;
      } else {
        this.#able.push(candidate);
        (candidate.isNear ? this.#near : this.#far).push(candidate);
      }
    }
    const passedOver = shortfall !== undefined;
    if (this.#able.length > 0) {
      return criteria.key === undefined
        ? this.#balanced(criteria.home, passedOver)
        : this.#byKey(criteria.key, criteria, candidates, passedOver);
    }
    // One that is ejected is better than none, and no better than one that has only to catch up.
    const last = stalled ?? (passedOver ? undefined : ejected);
    if (last !== undefined) return chosenAs(last, 'balanced', passedOver);
    return { node: undefined, why: shortfall ?? 'no-candidate', passedOver };
  }

  /** Whether a session goes on reading where it last did, which is fresh enough, without looking at all the others. */
  keeps(home: C, candidates: readonly C[], freshSince: number): boolean {
    this.#draw();
    const other = candidates[Math.floor(this.#first * candidates.length)] as C;
    const isAble = other !== home && meets(other, { floor: 0n, freshSince }) && !other.isEjected && !other.isStalled;
    if (!isAble || !isOutdone(home, other)) return true;
    return home.isNear ? !other.isNear && !isOutpaced(home, other) : other.isNear !== home.isNear;
  }

  /** The first in the key's order of all that are in rotation, fresh enough or not. */
  firstFor(key: number, candidates: readonly C[]): C | undefined {
    const known = candidates.filter(({ lsn, isEjected, isStalled }) => lsn !== undefined && !isEjected && !isStalled);
    return known.length === 0 ? undefined : foremost(known, key);
  }

  #balanced(home: C | undefined, passedOver: boolean): Choice<C> {
    this.#draw();
    const isNear = this.#near.length > 0;
    let chosen = this.#betterOfTwo(isNear ? this.#near : this.#far);
    if (isNear && this.#far.length > 0) {
      const other = betterOfTwo(this.#far, this.#first, this.#second);
      const isSpilling = chosen.inFlight >= chosen.capacity || isOutpaced(chosen, other);
      if (isSpilling && costOf(other) < costOf(chosen)) chosen = other;
    }
    if (home !== undefined && this.#able.includes(home) && !isOutdone(home, chosen)) chosen = home;
    return chosenAs(chosen, chosen === home ? 'affinity' : 'balanced', passedOver);
  }

  #byKey(key: number, criteria: Criteria<C>, candidates: readonly C[], passedOver: boolean): Choice<C> {
    const { home, isHomeOfKey, isBrief, spread } = criteria;
    let under = 0;
    let usual = 0;
    let weight = 0;
    let fastest = this.#able[0] as C;
    for (const candidate of this.#able) {
      under += candidate.inFlight;
      usual += candidate.load.usual;
      weight += candidate.weight * candidate.share;
      if (candidate.responseMillis < fastest.responseMillis) fastest = candidate;
    }
    this.#open.length = 0;
    for (const candidate of this.#able)
      if (isOpen(candidate, key, criteria) && (isPrompt(candidate) || !isOutpaced(candidate, fastest)))
        this.#open.push(candidate);
    // Those that qualify are better than the primary, open to the key or not.
    const open = this.#open.length > 0 ? this.#open : this.#able;
    if (spread > 1 && open.length > 1) return this.#spread(key, open, criteria, passedOver);

    const fair = { now: (this.#loadFactor * (under + 1)) / weight, usual: (this.#loadFactor * (usual + 1)) / weight };
    let chosen: C | undefined;
    let highest = -1;
    for (const candidate of open) {
      const rank = rankOf(key, candidate);
      if (rank > highest && !isLoaded(candidate, fair, isBrief)) [chosen, highest] = [candidate, rank];
    }
    chosen ??= foremost(open, key);
    // A session that has moved to the next one comes home when there is room again, and not for a moment's.
    const mayStay = home !== undefined && isHomeOfKey && open.includes(home) && !isLoaded(home, fair, isBrief);
    if (mayStay && isLoaded(chosen, { now: fair.now / 2, usual: fair.usual / 2 }, isBrief)) chosen = home;
    const isFirst = chosen === foremost(candidates, key);
    return chosenAs(chosen, chosen === home ? 'affinity' : isFirst ? 'partition' : 'next-in-order', passedOver);
  }

  /** Of the first several in the order the one that has less to do. */
  #spread(key: number, open: C[], { spread: count, home }: Criteria<C>, passedOver: boolean): Choice<C> {
    if (count < open.length) {
      const ranks = this.#ranks;
      for (let i = 0; i < open.length; i++) ranks[i] = rankOf(key, open[i] as C);
      // Brings the foremost to the front.
      for (let i = 0; i < count; i++) {
        let best = i;
        for (let j = i + 1; j < open.length; j++) if ((ranks[j] as number) > (ranks[best] as number)) best = j;
        [open[i], open[best]] = [open[best] as C, open[i] as C];
        [ranks[i], ranks[best]] = [ranks[best] as number, ranks[i] as number];
      }
      open.length = count;
    }
    this.#draw();
    const chosen = this.#betterOfTwo(open);
    const isStaying = home !== undefined && (home === chosen || (open.includes(home) && !isOutdone(home, chosen)));
    return isStaying ? chosenAs(home, 'affinity', passedOver) : chosenAs(chosen, 'hot-key', passedOver);
  }

  #betterOfTwo(all: readonly C[]): C {
    const chosen = betterOfTwo(all, this.#first, this.#second);
    this.#isAtEase = isModest(chosen);
    return chosen;
  }

  #draw(): void {
    if ((this.#turn++ & TURN_MASK) !== 0 && this.#isAtEase) return;
    this.#first = Math.random();
    this.#second = Math.random();
  }
}

function chosenAs<C>(node: C, why: Way, passedOver = false): Choice<C> {
  return { node, why, passedOver };
}

/** Whether it may answer, without a second thought. */
function isAble<C extends Candidate>(candidate: C, criteria: Criteria<C>): boolean {
  return (
    candidate.lsn !== undefined &&
    meets(candidate, criteria) &&
    !candidate.isEjected &&
    !candidate.isStalled &&
    criteria.except?.has(candidate) !== true
  );
}

/** Whether it takes that key: one that is back from a fault takes a share of its keys at first, and none that is not steadily young enough. */
function isOpen<C extends Candidate>(candidate: C, key: number, { maxAgeMillis }: Criteria<C>): boolean {
  return candidate.share > keyFraction(key) && candidate.steadyAgeMillis <= maxAgeMillis;
}

/** The work that one of weight 1 may have, at this moment and as a rule. */
interface Fair {
  readonly now: number;
  readonly usual: number;
}

/**
 * Whether it has more than its share of the work. Of statements that are over in a moment chance alone has more under way on one than on another at any time: for
 * these, what is usual counts.
 */
function isLoaded(candidate: Candidate, fair: Fair, isBrief: boolean): boolean {
  const { inFlight, weight, share, typicalMillis, load } = candidate;
  const part = weight * share;
  if (inFlight < Math.ceil(fair.now * part) || isModest(candidate)) return false;
  return !isBrief || typicalMillis > SHORT_MILLIS || load.usual >= fair.usual * part;
}

/** The first in the key's order. */
function foremost<C extends Candidate>(all: readonly C[], key: number): C {
  let first = all[0] as C;
  let highest = -1;
  for (const candidate of all) {
    const rank = rankOf(key, candidate);
    if (rank > highest) [first, highest] = [candidate, rank];
  }
  return first;
}
