/** What remains of several tokens of one client: pure, and as little trusted as the tokens are. */
import { ALL_CLUSTERS, compareOrder, orderOf, SEPARATOR, type TokenOrder } from './order.js';

/** Of so many clusters tokens are kept in one text; those whose newest token is the oldest go. */
export const MAX_CLUSTERS = 8;
/** A position and a primary-only token of each cluster, and a primary-only token for all of them. */
export const MAX_TOKENS = 2 * MAX_CLUSTERS + 1;

interface Piece {
  readonly token: string;
  readonly order: TokenOrder;
}

/**
 * Merges two texts of tokens: of each cluster the highest position, and the newest primary-only
 * token beside it.
 * @param lifetimeMillis a token that is older than the newest one by this much is left out; in
 * milliseconds, default: none is
 * @returns tokens of up to eight clusters, separated by dots; `''` when neither text holds a token
 */
export function mergedTokens(a: string, b: string, lifetimeMillis = Number.POSITIVE_INFINITY): string {
  const pieces = [a, b].filter((text) => typeof text === 'string').flatMap(piecesOf);
  const now = pieces.reduce((latest, { order }) => Math.max(latest, order.issuedAt), 0);
  const kept = new Map<string, Piece>();
  for (const piece of pieces) {
    const { isPrimaryOnly, clusterId, issuedAt } = piece.order;
    if (now - issuedAt >= lifetimeMillis) continue;
    const place = `${isPrimaryOnly ? 'primary-only' : 'position'} ${clusterId}`;
    const before = kept.get(place);
    if (before === undefined || compareOrder(piece.order, before.order) >= 0) kept.set(place, piece);
  }
  return ofNewestClusters([...kept.values()])
    .sort((x, y) => Number(y.order.isPrimaryOnly) - Number(x.order.isPrimaryOnly))
    .map(({ token }) => token)
    .join(SEPARATOR);
}

function piecesOf(text: string): Piece[] {
  return text.split(SEPARATOR).flatMap((token) => {
    const order = orderOf(token);
    return order === undefined ? [] : [{ token, order }];
  });
}

function ofNewestClusters(pieces: readonly Piece[]): Piece[] {
  const clusters = new Set<string>();
  return pieces.toSorted(byAge).filter(({ order: { clusterId } }) => {
    if (clusterId === ALL_CLUSTERS) return true;
    if (clusters.size < MAX_CLUSTERS) clusters.add(clusterId);
    return clusters.has(clusterId);
  });
}

/** The newest first, in an order that does not depend on where they stood. */
function byAge({ order: x }: Piece, { order: y }: Piece): number {
  return y.issuedAt - x.issuedAt || (x.clusterId < y.clusterId ? -1 : Number(x.clusterId > y.clusterId));
}
