/** What remains of several tokens of one client: pure, and as little trusted as the tokens are. */
import { compareOrder, orderOf, SEPARATOR } from './order.js';

/**
 * Merges two texts of tokens: the highest position, and the newest primary-only token beside it.
 * @param lifetimeMillis a primary-only token that is older than the newest token by this much is
 * left out; in milliseconds, default: none is
 * @returns one token, or two separated by a dot; `''` when neither text holds a token
 */
export function mergedTokens(a: string, b: string, lifetimeMillis = Number.POSITIVE_INFINITY): string {
  const texts = [a, b].filter((text) => typeof text === 'string');
  const tokens = texts
    .flatMap((text) => text.split(SEPARATOR))
    .flatMap((token) => {
      const order = orderOf(token);
      return order === undefined ? [] : [{ token, order }];
    });
  const newest = (isPrimaryOnly: boolean): string[] => {
    const [first, ...others] = tokens.filter(({ order }) => order.isPrimaryOnly === isPrimaryOnly);
    if (first === undefined) return [];
    return [others.reduce((best, one) => (compareOrder(one.order, best.order) >= 0 ? one : best), first).token];
  };
  const now = Math.max(...tokens.map(({ order }) => order.issuedAt));
  const marks = newest(true).filter((mark) => now - (orderOf(mark)?.issuedAt ?? 0) < lifetimeMillis);
  return [...marks, ...newest(false)].join(SEPARATOR);
}
