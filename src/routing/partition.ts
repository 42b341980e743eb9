/**
 * Which replica a partition key belongs to: weighted rendezvous hashing. Every key has its own order of all nodes by a score of both,
 * so that a node that goes takes only its own keys with it, and the order says who is next. Pure; the same in every process.
 */

/** What a node needs for a place in a key's order. */
export interface Weighted {
  readonly name: string;
  readonly weight: number;
}

/** The nodes in the key's order, its own first. */
export function ranked<N extends Weighted>(nodes: readonly N[], key: string): N[] {
  return nodes
    .map((node) => ({ node, score: score(node, key) }))
    .sort((a, b) => b.score - a.score)
    .map(({ node }) => node);
}

/** A place of the key between 0 and 1 that says nothing about its nodes: which part of the keys a node takes that may not take all yet. */
export function keyFraction(key: string): number {
  return hash(key) / 2 ** 32;
}

/** Higher is better: −weight / ln(u) with u uniform in (0, 1) shares the keys in proportion to the weights. */
function score({ name, weight }: Weighted, key: string): number {
  const uniform = (hash(`${key}\u0000${name}`) + 0.5) / 2 ** 32;
  return -weight / Math.log(uniform);
}

/** FNV-1a over the UTF-16 code units, stirred as MurmurHash3 ends: 32 bits that spread even over short, similar texts. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
