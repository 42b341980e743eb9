/**
 * Which nodes are out of rotation for a while, and how they come back. Pure: it is told what happened and what time it is. Overload
 * is no failure: a full pool never gets here.
 */

/** What is known of a node's health; each state carries only its own data. */
export type Health =
  /** It does not answer, or is not shown to follow the primary. */
  | { readonly state: 'unknown' }
  | { readonly state: 'live' }
  /** It answers, and is staler than `maxLagMillis`. */
  | { readonly state: 'lagging' }
  /** Out of rotation until a moment of our monotonic clock, and until it answers. */
  | { readonly state: 'ejected'; readonly cause: string; readonly until: number }
  /** Back, with a growing share of its weight between 0 and 1: its caches are cold. */
  | { readonly state: 'probation'; readonly share: number };

type Standing =
  | { readonly is: 'in'; readonly since: number }
  | { readonly is: 'out'; readonly since: number; readonly until: number; readonly cause: string }
  | { readonly is: 'probation'; readonly since: number };

const FAILURES = 3;
const EJECTION_MILLIS = 1_000;
/** Low enough that, with the slow start, also a node which flaps has its whole share again within 10 s of its recovery. */
const EJECTION_CAP_MILLIS = 4_000;
/** A node that has served that long is a first offender again. */
const FORGIVEN_AFTER_MILLIS = 10_000;
const SLOW_START_MILLIS = 5_000;
const FIRST_SHARE = 0.1;

/** A node is far slower than its peers beyond this factor, and beyond this time: below it nothing is gained by its going. */
const LATENCY_FACTOR = 5;
const LATENCY_FLOOR_MILLIS = 100;

export class Ejection {
  #standing: Standing = { is: 'in', since: Number.NEGATIVE_INFINITY };
  #failures = 0;
  #repeats = 0;
  #count = 0;

  /** Ejections since the start. */
  get count(): number {
    return this.#count;
  }

  get isOut(): boolean {
    return this.#standing.is === 'out';
  }

  /** The share of its weight that it may carry, above 0 and up to 1. */
  share(now: number): number {
    if (this.#standing.is !== 'probation') return 1;
    return Math.min(1, FIRST_SHARE + ((1 - FIRST_SHARE) * (now - this.#standing.since)) / SLOW_START_MILLIS);
  }

  /** Why and until when it is out. */
  get sentence(): { readonly cause: string; readonly until: number } | undefined {
    return this.#standing.is === 'out' ? this.#standing : undefined;
  }

  /** A statement was answered, if only with an error. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** A connection was lost or could not be had; so many in a row, or one on probation, and it is out. */
  failed(now: number, cause: string): void {
    if (this.#standing.is === 'out') return;
    this.#failures++;
    if (this.#failures >= FAILURES || this.#standing.is === 'probation') this.eject(now, cause);
  }

  /** Takes it out of rotation: 1 s the first time, twice as long each time it fails soon after its return, at most 4 s. */
  eject(now: number, cause: string): void {
    if (this.#standing.is === 'out') return;
    if (this.#standing.is === 'in' && now - this.#standing.since > FORGIVEN_AFTER_MILLIS) this.#repeats = 0;
    const millis = Math.min(EJECTION_MILLIS * 2 ** this.#repeats, EJECTION_CAP_MILLIS);
    this.#repeats++;
    this.#count++;
    this.#failures = 0;
    this.#standing = { is: 'out', since: now, until: now + millis, cause };
  }

  /** Its server was started anew: what it had in memory is gone. */
  restarted(now: number): void {
    if (this.#standing.is === 'in') this.#standing = { is: 'probation', since: now };
  }

  /** Lets time pass. @param observedAt when the question was sent that it answered last, −∞ when nothing is known of it */
  pass(now: number, observedAt: number): void {
    const standing = this.#standing;
    if (standing.is === 'out' && now >= standing.until && observedAt > standing.since) {
      this.#standing = { is: 'probation', since: now };
    } else if (standing.is === 'probation' && now - standing.since >= SLOW_START_MILLIS) {
      this.#standing = { is: 'in', since: now };
    }
  }
}

/**
 * Whether a node answers the same small question far more slowly than its peers do, and than it did itself when it was at its best: a
 * node that is merely far away is not sick. With two replicas the peers are one node, which is why the other two conditions stand beside it.
 * @param own its recent latency, and its best so far, in milliseconds
 * @param peers the recent latencies of the other replicas in rotation
 */
export function isFarSlower(
  own: { readonly recent: number; readonly best: number },
  peers: readonly number[],
): boolean {
  if (peers.length === 0 || own.recent < LATENCY_FLOOR_MILLIS) return false;
  const usual = [...peers].sort((a, b) => a - b)[(peers.length - 1) >> 1] as number;
  return own.recent > LATENCY_FACTOR * Math.max(usual, own.best);
}
