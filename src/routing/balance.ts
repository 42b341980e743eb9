/**
 * Which of several replicas has the least to do: the better one of two taken by chance (Mitzenmacher's power of two choices), by how long it takes to answer and how much is
 * under way on it. Looking at two spreads nearly as well as looking at all, and does not send everybody to the same one.
 */

/** How quickly a slow answer is forgotten, once faster ones come. */
const FORGETTING_MILLIS = 500;
/** What a failure counts as, in milliseconds: one that fails at once must not look like one that is fast. */
const FAILURE_MILLIS = 250;
/** Who answers sooner is not the faster for it: other processes and our own event loop do as much. */
const RESOLUTION_MILLIS = 3;
/** Differences of cost below this factor say nothing. */
const TOLERANCE = 1.25;
/** From where on a session leaves its replica for another one, which costs it a question to the primary. */
const OUTDONE_FACTOR = 4;
const OUTDONE_MILLIS = 2;
/** Keys leave a replica only for what no busy machine explains. */
const PATIENCE_MILLIS = 50;
/** As many statements under way are no burden, if they are over in a moment. */
const MODEST_COUNT = 8;
/** What is over within that time altogether is no load. */
const MOMENT_MILLIS = 5;

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

  /**
   * @param now our monotonic clock, in milliseconds
   * @param isWhole whether it stands for a way there and back; else it took at least so long, and says nothing of a way that is shorter
   */
  took(millis: number, now: number, isWhole = true): void {
    if (!isWhole && millis <= this.#millis) return;
    const sample = Math.min(millis, this.#previous);
    this.#previous = millis;
    const passed = now - this.#toldAt;
    this.#toldAt = now;
    if (sample >= this.#millis) this.#millis = sample;
    else this.#millis += (sample - this.#millis) * (passed / (passed + FORGETTING_MILLIS) || 1);
  }

  /** It failed by the server's fault. */
  failed(now: number): void {
    this.took(FAILURE_MILLIS, now);
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
  /** How long its statements take as a rule, the statements' own time included; 0 while unknown. */
  readonly typicalMillis: number;
}

/**
 * What one more statement costs there. The time counts twice: once for the caller who waits, and once since what is slow stays under way for longer, so that a slow node looks
 * idle when it has answered little.
 */
export function costOf({ weight, share, inFlight, responseMillis }: Burden): number {
  const millis = Math.max(RESOLUTION_MILLIS, responseMillis);
  return millis * millis * (inFlight / (weight * share) + 1);
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

/** Whether what is under way is little, and known to be over in a moment. */
export function isModest({ inFlight, typicalMillis }: Burden): boolean {
  return inFlight === 0 || (inFlight < MODEST_COUNT && typicalMillis > 0 && inFlight * typicalMillis <= MOMENT_MILLIS);
}

/** Whether it answers soon enough to keep its keys, however fast others are: what it has in memory for them is worth more. */
export function isPrompt({ responseMillis }: Burden): boolean {
  return responseMillis <= PATIENCE_MILLIS;
}

/** Whether another one answers in a fraction of the time, whatever is under way. */
export function isOutpaced(own: Burden, other: Burden): boolean {
  return own.responseMillis > OUTDONE_FACTOR * Math.max(RESOLUTION_MILLIS, other.responseMillis);
}

/** Whether another one is so much better that a move is worth its price. */
export function isOutdone(own: Burden, other: Burden): boolean {
  const isBurdened = !isModest(own) || own.responseMillis - other.responseMillis > OUTDONE_MILLIS;
  return isBurdened && costOf(own) > OUTDONE_FACTOR * costOf(other);
}
