/**
 * The judgements of objects, each found once. Objects may lead back to each other: a view to a
 * function, the function to the view. It bounds how far one object may lead, and knows nothing of
 * what objects are.
 */
import { type Judgement, SAFE } from './judgement.js';
import type { Turn } from './turn.js';

/** Looks at what is behind one object. */
const MAX_STEPS = 20_000;
/** Objects that each lead to the next: each takes some of the stack. */
const MAX_OPEN = 50;

/** The outermost object leads too far. */
class TooMuchError extends Error {}

export class Verdicts {
  readonly #turn: Turn;
  readonly #judged = new Map<object, Judgement>();
  #steps = 0;
  /** The objects that are being judged, each within the one before. */
  readonly #open: object[] = [];
  /**
   * Objects that are harmless if the open object that they lead back to is, in the order in which
   * they were found.
   */
  readonly #pending = new Map<object, { readonly judgement: Judgement; readonly leadsBackTo: number }>();
  readonly #pendingOrder: object[] = [];
  /** The outermost open object that the judgement under way leads back to. */
  #leadsBackTo = Number.POSITIVE_INFINITY;

  constructor(turn: Turn) {
    this.#turn = turn;
  }

  /**
   * Judges an object once. Objects may lead back to each other: one that is being judged counts as
   * harmless meanwhile, and what was found harmless by that alone is so for good as soon as the
   * outermost of those that it leads back to is found harmless.
   */
  once(object: object, judge: () => Judgement): Judgement {
    const known = this.#judged.get(object);
    if (known !== undefined) return known;
    this.#step();
    const pending = this.#pending.get(object);
    if (pending !== undefined) {
      this.#leadsBackTo = Math.min(this.#leadsBackTo, pending.leadsBackTo);
      return pending.judgement;
    }
    const open = this.#open.indexOf(object);
    if (open >= 0) {
      this.#leadsBackTo = Math.min(this.#leadsBackTo, open);
      return SAFE;
    }
    return this.#first(object, judge);
  }

  #first(object: object, judge: () => Judgement): Judgement {
    if (this.#open.length >= MAX_OPEN) throw new TooMuchError('it is nested too deeply');
    const place = this.#open.push(object) - 1;
    if (place === 0) this.#steps = 0;
    const before = this.#leadsBackTo;
    const pendingBefore = this.#pendingOrder.length;
    this.#leadsBackTo = Number.POSITIVE_INFINITY;
    let judgement: Judgement | undefined;
    try {
      judgement = judge();
      return judgement;
    } catch (error) {
      if (!(error instanceof TooMuchError) || place > 0) throw error;
      judgement = { class: 'write', because: error.message };
      return judgement;
    } finally {
      this.#settle(object, judgement, place, pendingBefore);
      this.#open.length = place;
      this.#leadsBackTo = Math.min(before, this.#leadsBackTo < place ? this.#leadsBackTo : Number.POSITIVE_INFINITY);
    }
  }

  /** @param judgement `undefined` when it was interrupted */
  #settle(object: object, judgement: Judgement | undefined, place: number, pendingBefore: number): void {
    const leadsBackTo = this.#leadsBackTo;
    if (judgement?.class === 'read' && leadsBackTo < place) {
      this.#pending.set(object, { judgement, leadsBackTo });
      this.#pendingOrder.push(object);
      return;
    }
    if (judgement !== undefined) this.#judged.set(object, judgement);
    // What is only declared to read is behind all of them then.
    const isHarmless = judgement?.class === 'read' && judgement.isDeclared !== true;
    for (const other of this.#pendingOrder.splice(pendingBefore)) {
      const found = this.#pending.get(other)?.judgement;
      if (isHarmless && found !== undefined) this.#judged.set(other, found);
      this.#pending.delete(other);
    }
  }

  #step(): void {
    this.#turn.step();
    if (++this.#steps > MAX_STEPS && this.#open.length > 0) throw new TooMuchError('it leads to too much');
  }
}
