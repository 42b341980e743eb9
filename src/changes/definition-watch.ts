/**
 * Tells how far definitions (tables, functions, policies, rights, roles) are known not to have changed.
 * It compares stamps of the catalogue, asked of a replica, and only while somebody wants to know. What
 * follows for a kept answer is decided elsewhere.
 *
 * Each look reads the replica's position, then the stamps, then the position again.
 * - The position before: all that had been replayed by then, the stamps show. So where they are equal to
 *   the last ones, nothing has changed up to that position. On a primary that would not hold: a commit is
 *   in its log before its snapshots show it.
 * - The position after: what the stamps show was replayed by then. So where they differ, an answer that
 *   was read at that position or beyond shows the change, and any other may not.
 */

import type { ChangePosition } from '../change-source.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { type Lsn, newer } from '../freshness/lsn.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { askLocal, askShared, where } from './definition-look.js';

/** Called at once, and never throws. */
export interface DefinitionListener {
  /**
   * Definitions may have changed: what was read from a server before that position is not known to show
   * it. Called before {@link DefinitionWatch.unchangedThrough} reaches the change.
   */
  changed(position: ChangePosition): void;
}

/** What changes are looked for: all, or only those that a source cannot tell of. */
export type DefinitionDepth = 'all' | 'shared';

export interface DefinitionStats {
  /** Stamps that were compared. */
  readonly lookCount: number;
  /** Looks that found another stamp than the last one; the first of each timeline is one. */
  readonly changeCount: number;
  /** What a look takes on the server, in milliseconds; 0 before the first one. */
  readonly costMillis: number;
  /** How far looks are apart, in milliseconds. */
  readonly intervalMillis: number;
}

/** What was found, in one part of the primary's history. */
interface Seen {
  readonly epoch: number;
  readonly through: Lsn;
  /** Our monotonic clock before the look. */
  readonly lookedAt: number;
  /** Whether a source tells of what is not looked at. */
  readonly isTold: boolean;
  readonly shared: string;
  /** `undefined` where it was never looked at. */
  readonly local: string | undefined;
}

/** Wanted that long ago, it is still looked for. */
const WANTED_MILLIS = 1_000;
const LEAST_INTERVAL_MILLIS = 10;
const MOST_INTERVAL_MILLIS = 5_000;
/** A look that is older says nothing of the present. */
const TOLD_MILLIS = 1_000;
const FURTHEST = 2n ** 64n - 1n;
/** Looks take at most one part in so many of a backend's time. */
const COST_SHARE = 50;
/** Another's work on the server makes a look longer: the shortest of so many counts. */
const COSTS_KEPT = 3;
/** What a first look is taken to cost: some 10 ms were measured for 4 MB. */
const GUESSED_MILLIS_PER_BYTE = 2.5 / 2 ** 20;
/** Of the time after which a server counts as hung. Its other questions wait behind a look. */
const MOST_HANG_SHARE = 1 / 4;
/** What was too large is tried again after so long: at first soon, since the server may have been busy. */
const [TOO_LARGE_MILLIS, STILL_TOO_LARGE_MILLIS] = [1_000, 60_000];

const NO_REPLICA = 'no replica is known to follow the primary';
const NO_ANSWER = 'the replica gave no answer';
const OTHER_SERVER = 'the replica was restarted, or has changed its role';
const TOO_LARGE = 'the catalogue is too large to be looked at';

export class DefinitionWatch {
  readonly #fleet: Pick<Fleet, 'history' | 'replicas' | 'settings'>;
  readonly #listener: DefinitionListener;
  readonly #eventTriggers: readonly string[];
  #depth: DefinitionDepth;
  /** A source has told of a change there: what was looked at before says nothing of it. */
  #told: Lsn | undefined;
  #seen: Seen | undefined;
  #wantedAt = Number.NEGATIVE_INFINITY;
  /** When the next look may begin. */
  #dueAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isLooking = false;
  #isClosed = false;
  #turn = 0;
  #problem: string | undefined;
  #lookCount = 0;
  #changeCount = 0;
  /** How often in a row the catalogue was too large. */
  #tooLargeCount = 0;
  readonly #costs: number[] = [];
  #millisPerByte = GUESSED_MILLIS_PER_BYTE;

  /**
   * @param depth `'shared'` where a source tells of the rest
   * @param eventTriggers those by which it does: while one is missing, or does not fire always, all is
   * looked at. None where the source has another way
   */
  constructor(
    fleet: Pick<Fleet, 'history' | 'replicas' | 'settings'>,
    listener: DefinitionListener,
    depth: DefinitionDepth,
    eventTriggers: readonly string[] = [],
  ) {
    this.#fleet = fleet;
    this.#listener = listener;
    this.#depth = depth;
    this.#eventTriggers = eventTriggers;
  }

  /**
   * Up to that position of the primary's present timeline, no definition has changed but what the
   * listener was told of; `undefined` while nothing is known. Nothing is current beyond it.
   *
   * Where a source tells of definitions, that is without end as long as the latest look is no older
   * than a second: what it cannot tell of, such as who is a member of a role, counts from the next
   * look on.
   */
  get unchangedThrough(): Lsn | undefined {
    const seen = this.#seen;
    if (seen === undefined || seen.epoch !== this.#fleet.history.epoch) return undefined;
    const isTold = this.#depth === 'shared' && seen.isTold;
    return isTold && performance.now() - seen.lookedAt < TOLD_MILLIS ? FURTHEST : seen.through;
  }

  /**
   * Names the definitions that hold up to {@link DefinitionWatch.unchangedThrough}; `undefined` while
   * they are not known.
   */
  get stamp(): string | undefined {
    return this.#told === undefined && this.unchangedThrough !== undefined ? this.#seen?.local : undefined;
  }

  /** A source has told of a change. All is looked at once more, whatever the depth. */
  told(lsn: Lsn): void {
    this.#told = lsn;
  }

  /** Why the last look told nothing, in words; `undefined` where it did. */
  get problem(): string | undefined {
    return this.#problem;
  }

  get depth(): DefinitionDepth {
    return this.#depth;
  }

  /** Another source may tell more, or less. */
  set depth(depth: DefinitionDepth) {
    // From when on the rest was told, or was not, is not known.
    if (depth !== this.#depth) this.#seen = undefined;
    this.#depth = depth;
  }

  stats(): DefinitionStats {
    return {
      lookCount: this.#lookCount,
      changeCount: this.#changeCount,
      costMillis: this.#costMillis,
      intervalMillis: this.#intervalMillis,
    };
  }

  /** Somebody wants to know; called for each read that could use it. @param now our monotonic clock */
  want(now: number = performance.now()): void {
    this.#wantedAt = now;
    if (this.#timer === undefined && !this.#isLooking) this.#plan(now);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  get #costMillis(): number {
    return this.#costs.length === 0 ? 0 : Math.min(...this.#costs);
  }

  /** What a look may take. */
  get #mostMillis(): number {
    return this.#fleet.settings.hangMillis * MOST_HANG_SHARE;
  }

  get #intervalMillis(): number {
    return Math.min(MOST_INTERVAL_MILLIS, Math.max(LEAST_INTERVAL_MILLIS, COST_SHARE * this.#costMillis));
  }

  #plan(now: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => void this.#tick(), Math.max(0, this.#dueAt - now));
    this.#timer.unref();
  }

  async #tick(): Promise<void> {
    this.#timer = undefined;
    const startedAt = performance.now();
    if (startedAt - this.#wantedAt > WANTED_MILLIS) return;
    this.#isLooking = true;
    let waitMillis = 0;
    try {
      this.#problem = await this.#look();
      if (this.#problem === TOO_LARGE)
        waitMillis = Math.min(TOO_LARGE_MILLIS * 2 ** this.#tooLargeCount++, STILL_TOO_LARGE_MILLIS);
    } catch (error) {
      this.#problem = error instanceof InvalidAnswer ? error.message : NO_ANSWER;
    }
    this.#isLooking = false;
    this.#dueAt = startedAt + Math.max(waitMillis, this.#intervalMillis);
    this.#plan(performance.now());
  }

  /** @returns why it has told nothing */
  async #look(): Promise<string | undefined> {
    const { history } = this.#fleet;
    const { epoch } = history;
    const depth = this.#depth;
    const replica = this.#choose();
    if (replica === undefined) return NO_REPLICA;
    const lookedAt = performance.now();
    const before = await where(replica);
    if (before === undefined) return NO_REPLICA;
    const seen = this.#seen?.epoch === epoch ? this.#seen : undefined;
    // Nothing has changed where the log has not moved; a replica that lags behind the last one tells nothing new.
    const told = this.#told;
    const isDue = seen?.local === undefined || (told !== undefined && before.lsn >= told);
    if (seen !== undefined && before.lsn <= seen.through && !isDue) {
      // As long as the log does not move, there is nothing new to be seen.
      if (before.lsn === seen.through) this.#seen = { ...seen, lookedAt };
      return undefined;
    }

    const shared = await askShared(replica, this.#eventTriggers);
    const isLocal = depth === 'all' || !shared.isTold || isDue;
    if (isLocal && shared.localBytes * this.#millisPerByte > this.#mostMillis) {
      this.#millisPerByte = GUESSED_MILLIS_PER_BYTE;
      // Whatever was known is not known to hold any more.
      this.#seen = undefined;
      return TOO_LARGE;
    }
    const local = isLocal ? await askLocal(replica, shared.version) : undefined;
    const after = await where(replica);
    const servers = [shared.server, local?.server ?? before.server, after?.server];
    if (after === undefined || servers.some((server) => server !== before.server)) return OTHER_SERVER;
    if (history.epoch !== epoch || this.#isClosed) return OTHER_SERVER;
    if (this.#depth !== depth) return undefined;

    const costMillis = shared.tookMillis + (local?.tookMillis ?? 0);
    this.#costs.push(costMillis);
    if (this.#costs.length > COSTS_KEPT) this.#costs.shift();
    if (local !== undefined && shared.localBytes > 0) this.#millisPerByte = this.#costMillis / shared.localBytes;
    this.#lookCount++;
    if (local !== undefined && costMillis <= this.#mostMillis) this.#tooLargeCount = 0;
    // What is told meanwhile may not be in it yet.
    if (local !== undefined && told === this.#told && (told === undefined || before.lsn >= told))
      this.#told = undefined;
    const isSame = shared.stamp === seen?.shared && (local === undefined || local.stamp === seen.local);
    if (!isSame) {
      this.#changeCount++;
      this.#listener.changed({ timeline: history.timelines.timeline, lsn: after.lsn });
    }
    const through = seen === undefined || !isSame ? before.lsn : newer(before.lsn, seen.through);
    const { isTold } = shared;
    this.#seen = { epoch, through, lookedAt, isTold, shared: shared.stamp, local: local?.stamp ?? seen?.local };
    return undefined;
  }

  /** The one that has replayed most; of equals each in its turn. */
  #choose(): Node | undefined {
    const { replicas } = this.#fleet;
    const from = ++this.#turn;
    let best: Node | undefined;
    for (let at = 0; at < replicas.length; at++) {
      const replica = replicas[(from + at) % replicas.length] as Node;
      const { lsn } = replica;
      if (lsn !== undefined && !replica.isEjected && lsn > (best?.lsn ?? -1n)) best = replica;
    }
    return best;
  }
}
