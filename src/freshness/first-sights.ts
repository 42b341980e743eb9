/**
 * When a token that cannot be decided yet was seen first: the same cookie comes with every request, and is no newer for that. It remembers few tokens, says
 * nothing about what they are worth, and sends nothing.
 */

/** Beyond that the oldest are forgotten: they count as new when they come again. */
const MAX_TOKENS = 1_000;

export class FirstSights {
  readonly #seenAt = new Map<string, number>();

  /** @param token its text @param now our monotonic clock @returns when it was seen first */
  of(token: string, now: number): number {
    const seenAt = this.#seenAt.get(token);
    if (seenAt !== undefined) return seenAt;
    this.#seenAt.set(copied(token), now);
    for (const oldest of this.#seenAt.keys()) {
      if (this.#seenAt.size <= MAX_TOKENS) break;
      this.#seenAt.delete(oldest);
    }
    return now;
  }
}

/** A flat copy: a slice of a cookie would keep the whole request head in memory. */
function copied(token: string): string {
  return Buffer.from(token, 'latin1').toString('latin1');
}
