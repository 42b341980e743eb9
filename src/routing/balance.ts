/**
 * Which of several replicas has the least to do: the better one of two taken by chance (Mitzenmacher's power of two choices), by how long it takes to answer and how much is
 * under way on it. Looking at two spreads nearly as well as looking at all, and does not send everybody to the same one.
 */

/** How quickly a slow answer is forgotten, once faster ones come. */
const FORGETTING_MILLIS = 500;
/** What a failure counts as, in milliseconds: one that fails at once must not look like one that is fast. */
const FAILURE_MILLIS = 250;
/** Differences far below it say nothing. */
const RESOLUTION_MILLIS = 1;
/** Nor do those below this factor. */
const TOLERANCE = 1.25;
/** From where on a session leaves its replica for another one, which costs it a question to the primary. */
const OUTDONE_FACTOR = 4;
const OUTDONE_MILLIS = 2;
/** As many statements under way are no burden, if they are over in a moment. */
export const MODEST_COUNT = 8;

/**
 * How long a node takes to answer beside what the statement itself takes: as long as the latest slow answers, fading as faster ones come (a peak-sensitive moving average, as in
 * Finagle's load balancer). A single slow answer is chance and does not count: it takes two in a row.
 */
export class ResponseTime {
  #millis = 0;
  #previous = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  get millis(): number {
    return this.#millis;
  }

  /** @param now our monotonic clock, in milliseconds */
  took(millis: number, now: number): void {
    const sample = Math.min(millis, this.#previous);
    this.#previous = millis;
    this.#tell(sample, now);
  }

  /** It failed by the server's fault. */
  failed(now: number): void {
    this.#previous = FAILURE_MILLIS;
    this.#tell(Math.max(this.#millis, FAILURE_MILLIS), now);
  }

  #tell(sample: number, now: number): void {
    const passed = now - this.#toldAt;
    this.#toldAt = now;
    if (sample >= this.#millis) this.#millis = sample;
    else this.#millis += (sample - this.#millis) * (passed / (passed + FORGETTING_MILLIS) || 1);
  }
}

/** What the balancer must know of a replica. */
export interface Burden {
  /** Its share of the work beside the others', above 0. */
  readonly weight: number;
  /** The part of its weight that it may carry, above 0 and up to 1. */
  readonly share: number;
  /** Statements under way on it, from this process. */
  readonly inFlight: number;
  /** See {@link ResponseTime}. */
  readonly responseMillis: number;
}

/** What one more statement costs there. */
export function costOf({ weight, share, inFlight, responseMillis }: Burden): number {
  return (RESOLUTION_MILLIS + responseMillis) * (inFlight / (weight * share) + 1);
}

/**
 * The better one of two, drawn by their weights.
 * @param first a number in [0, 1) that says which is looked at first, and stays the choice unless the other one is clearly better
 * @param second another one, for the other
 */
export function betterOfTwo<C extends Burden>(all: readonly C[], first: number, second: number): C {
  const chosen = drawn(all, first, undefined);
  if (all.length === 1) return chosen;
  const other = drawn(all, second, chosen);
  return costOf(other) * TOLERANCE < costOf(chosen) ? other : chosen;
}

function drawn<C extends Burden>(all: readonly C[], chance: number, except: C | undefined): C {
  let total = 0;
  for (const one of all) if (one !== except) total += one.weight * one.share;
  let left = chance * total;
  let last = all[0] as C;
  for (const one of all) {
    if (one === except) continue;
    last = one;
    left -= one.weight * one.share;
    if (left < 0) break;
  }
  return last;
}

/** Whether another one is so much better that a move is worth its price. */
export function isOutdone(own: Burden, other: Burden): boolean {
  const isBurdened = own.inFlight >= MODEST_COUNT || own.responseMillis - other.responseMillis > OUTDONE_MILLIS;
  return isBurdened && costOf(own) > OUTDONE_FACTOR * costOf(other);
}
