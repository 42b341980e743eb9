/**
 * Which replica may answer a read, by what is known now: the demand that the read makes, and the
 * replica that meets it best. It asks no server and runs nothing.
 */

import type { Reason } from '../events.js';
import { type Demand, meets, RungAt } from '../freshness/demand.js';
import type { Floor, FloorLsn } from '../freshness/floor.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement, Target } from '../freshness/requirement.js';
import type { Settings } from '../options/cluster.js';
import { HotKeys } from '../routing/hot-keys.js';
import { type Choice, Router, type Shortfall, type Way } from '../routing/route.js';
import type { Leadership } from './leadership.js';
import type { Node } from './node.js';
import { type Observation, replayedLsn } from './observation.js';

/** What a read asks of the server that answers it. */
export interface ReadTerms {
  readonly floor: Floor;
  readonly requirement: Requirement;
  readonly target: Target | undefined;
  /** The hash of its partition key: the key's own replica comes first, as long as it is fresh enough. */
  readonly key: number | undefined;
  /** Where the session last read; `undefined` where monotonic reads are not asked for. */
  readonly trace: ReadTrace | undefined;
}

/** Why no replica answers: `pending` and `unprovable` stand for a floor that is not known. */
export type Refusal = Shortfall | Extract<FloorLsn, string> | 'cold-start';

/** The replica that answers, or why none does. */
export type ReplicaChoice = Choice<Node, Refusal>;

/** A read that waits asks so many replicas where they stand. */
const ASKED_AT_ONCE = 8;
const FURTHEST = 1n << 64n;
/** Below that the sketch of the traffic does not tell keys apart. */
const LEAST_HOT_SHARE = 0.005;
/** How far the clocks of processes that hand tokens to each other may differ. */
const CLOCK_TOLERANCE_MILLIS = 5_000;

export class Selection {
  readonly hotKeys = new HotKeys();
  readonly #settings: Settings;
  readonly #history: PrimaryHistory;
  readonly #leadership: Leadership;
  readonly #router: Router<Node>;

  constructor(settings: Settings, history: PrimaryHistory, leadership: Leadership) {
    this.#settings = settings;
    this.#history = history;
    this.#leadership = leadership;
    this.#router = new Router(settings.loadFactor);
  }

  /** The replicas that a read may go to. */
  candidates(target: Target | undefined): readonly Node[] {
    const { replicas } = this.#leadership;
    return typeof target === 'object' ? replicas.filter((replica) => replica.name === target.node) : replicas;
  }

  /** The replica where the session last read; `undefined` where there is none, or where it makes no difference. */
  homeOf({ trace, requirement, target }: ReadTerms): Node | undefined {
    const server = trace?.server;
    if (server === undefined || requirement.consistency === 'eventual') return undefined;
    for (const replica of this.candidates(target)) if (replica.observation?.identity.server === server) return replica;
    return undefined;
  }

  /** The replica that comes first in the key's order; the first that answers where the read has no key. */
  firstFor({ target, key }: ReadTerms): Node | undefined {
    const candidates = this.candidates(target);
    return key === undefined ? candidates[0] : this.#router.firstFor(key, candidates);
  }

  /**
   * Replicas that answer and may be fresh enough soon: the key's or the session's own, and those that are
   * furthest ahead. At most 8, since each of them is asked.
   */
  likeliest(terms: ReadTerms, except: ReadonlySet<Node> | undefined): readonly Node[] {
    const answering = this.candidates(terms.target).filter(
      (replica) => replica.observation !== undefined && !except?.has(replica),
    );
    if (answering.length <= ASKED_AT_ONCE) return answering;
    const own = this.homeOf(terms) ?? this.firstFor(terms);
    const ahead = (replica: Node): bigint => (replica === own ? FURTHEST : (replica.lsn ?? -1n));
    return answering.sort((a, b) => Number(ahead(b) - ahead(a))).slice(0, ASKED_AT_ONCE);
  }

  /**
   * The replica that answers, by what is known now.
   * @param home where the session last read
   * @param except nodes that just failed the read
   * @param isBrief whether the statement is known to be over in a moment
   */
  choose(
    terms: ReadTerms,
    now: number,
    except?: ReadonlySet<Node>,
    home = this.homeOf(terms),
    isBrief = false,
    router = this.#router,
  ): ReplicaChoice {
    const { requirement, target, key, trace } = terms;
    const floor = this.#floorOf(terms);
    if (typeof floor === 'string') return { node: undefined, why: floor, passedOver: false };
    const maxAgeMillis = this.#maxAgeMillis(requirement);
    const choice = router.choose(this.candidates(target), {
      floor,
      freshSince: now - maxAgeMillis,
      maxAgeMillis,
      key,
      spread: key === undefined ? 1 : this.#spreadOf(key, now),
      home,
      isHomeOfKey: trace?.key === key,
      isBrief,
      except,
    });
    return choice.why === 'no-candidate' ? { node: undefined, why: this.absence(), passedOver: false } : choice;
  }

  /** As `choose`, for a caller that only wants to know: the next read's choice is not touched by it. */
  preview(terms: ReadTerms, now: number, except?: ReadonlySet<Node>): ReplicaChoice {
    return this.choose(terms, now, except, this.homeOf(terms), false, new Router(this.#settings.loadFactor));
  }

  /** Whether a session without a key goes on reading where it last did: as long as that is fresh enough, and not far behind another in speed. */
  keeps(home: Node, terms: ReadTerms, now: number): boolean {
    if (!this.isInRotation(home) || !this.meets(home, terms, now)) return false;
    return this.#router.keeps(home, this.candidates(terms.target), now - this.#maxAgeMillis(terms.requirement));
  }

  /** Counts a read of a key: keys with a large share of the reads are hot. */
  recordUse({ key, target }: ReadTerms, now: number): void {
    if (key === undefined || target !== undefined || this.#settings.hotKeys === false) return;
    this.hotKeys.recordUse(key, this.hotShare, now);
  }

  /** Whether the primary takes the reads of that key, because it is hot. */
  isForPrimary({ key, target }: ReadTerms, now: number): boolean {
    const { hotKeys } = this.#settings;
    if (key === undefined || target !== undefined || hotKeys === false || hotKeys.target !== 'primary') return false;
    return this.#leadership.isSettled && this.hotKeys.shareOf(key, this.hotShare, now) > 0;
  }

  /** The share of the reads from which on a key is hot. */
  get hotShare(): number {
    const { hotKeys, loadFactor } = this.#settings;
    if (hotKeys === false) return Number.POSITIVE_INFINITY;
    const others = Math.max(1, this.#leadership.replicas.length - 1);
    return hotKeys.share ?? Math.max(LEAST_HOT_SHARE, (loadFactor - 1) / others);
  }

  /** Whether reads go there: to one that is ejected or stands still only when there is no other. */
  isInRotation(replica: Node): boolean {
    if (!replica.isEjected && !replica.isStalled) return true;
    return !this.#leadership.replicas.some((peer) => peer.lsn !== undefined && !peer.isEjected && !peer.isStalled);
  }

  /** Whether it must not answer, since it is ejected and another can. */
  isOut(replica: Node): boolean {
    return replica.isEjected && !this.isInRotation(replica);
  }

  /** Why there is no replica to speak of: not yet, or not any more. */
  absence(): 'cold-start' | 'no-candidate' {
    const { replicas } = this.#leadership;
    const isCold =
      this.#history.clusterId === undefined ||
      replicas.some(({ probe, health }) => !probe.wasAsked && !health.hasJoined);
    return isCold && replicas.length > 0 ? 'cold-start' : 'no-candidate';
  }

  /** What the read asks of its rung at this moment; a word while its floor is not known. */
  demandOf(terms: ReadTerms, now: number): Demand | Extract<FloorLsn, string> {
    const lsn = this.#floorOf(terms);
    return typeof lsn === 'string' ? lsn : { floor: lsn, freshSince: now - this.#maxAgeMillis(terms.requirement) };
  }

  /** Whether that very replica is fresh enough. */
  meets(replica: Node, terms: ReadTerms, now: number): boolean {
    if (replica.observation === undefined) return false;
    const demand = this.demandOf(terms, now);
    return typeof demand !== 'string' && meets(replica, demand);
  }

  /** Whether a server that said this of itself is fresh enough. */
  isProvenBy(observation: Observation, terms: ReadTerms, now: number): boolean {
    const lsn = replayedLsn(observation, this.#history);
    const demand = this.demandOf(terms, now);
    return typeof demand !== 'string' && meets(new RungAt(lsn, this.#history), demand);
  }

  /** Whether the read insists on the primary. */
  isPrimary(target: Target | undefined): boolean {
    return target === 'primary' || (typeof target === 'object' && target.node === this.#leadership.primary.name);
  }

  /** Also what answers from earlier have shown. */
  #floorOf({ floor, trace, requirement }: ReadTerms): FloorLsn {
    const lsn = floor.resolve(this.#history);
    const shown = trace?.shownFloor;
    if (shown === undefined || typeof lsn === 'string' || requirement.consistency === 'eventual') return lsn;
    const seen = shown.resolve(this.#history);
    return typeof seen === 'string' || seen > lsn ? seen : lsn;
  }

  /** Twice as many replicas as would do for its share, so that chance does not load one of them with all of it. */
  #spreadOf(key: number, now: number): number {
    const { hotKeys } = this.#settings;
    if (hotKeys === false || hotKeys.target === 'primary') return 1;
    const share = this.hotKeys.shareOf(key, this.hotShare, now);
    return share === 0 ? 1 : Math.max(2, Math.ceil(2 * share * this.#leadership.replicas.length));
  }

  /** Nothing can be dated while the primary does not answer: without an explicit bound, the floor alone decides then. */
  #maxAgeMillis({ maxStalenessMillis, consistency }: Requirement): number {
    const { maxLagMillis, tokenLifetimeMillis } = this.#settings;
    const { isTracking } = this.#history;
    const isDated = this.#leadership.isSettled && isTracking;
    const asked = maxStalenessMillis ?? (isDated ? maxLagMillis : Number.POSITIVE_INFINITY);
    if (consistency === 'eventual' || !isTracking) return asked;
    // A token that has expired no longer says what its session wrote: by then, every candidate must have it anyway.
    return Math.min(asked, tokenLifetimeMillis - CLOCK_TOLERANCE_MILLIS);
  }
}

/** The word in events and stats for a choice. */
export function reasonFor(why: Refusal | Way): Reason {
  return why === 'pending' || why === 'unprovable' ? 'floor-unknown' : why;
}
