/**
 * Which replica a partition key belongs to: weighted rendezvous hashing. Every key has its own order of all nodes by a score of both, so that a node that goes
 * takes only its own keys with it, and the order says who is next. Pure; the same in every process and every version.
 *
 * The hash, for those who want to work it out elsewhere: h(text) is FNV-1a over the UTF-16 code units (32 bits, offset 2166136261, prime 16777619), stirred by
 * MurmurHash3's finaliser. A key's score at a node is −weight / ln((stir(h(key) xor h(name)) + 0.5) / 2³²); the highest comes first.
 */

/** The hash of a key, or of a node's name: 32 bits, signed. */
export function hashOf(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return stirred(h);
}

/** The hash of a partition key; `undefined` for none: an empty one, as of an unknown visitor, would be shared by all. */
export function keyOf(partitionKey: string | undefined): number | undefined {
  return partitionKey ? hashOf(partitionKey) : undefined;
}

/** Where a node stands in a key's order: higher is nearer to the front. With u uniform in (0, 1), −weight / ln(u) shares the keys in proportion to the weights. */
export function rankOf(key: number, { hash, weight }: { readonly hash: number; readonly weight: number }): number {
  return -weight / Math.log(((stirred(key ^ hash) >>> 0) + 0.5) / 2 ** 32);
}

/** A place of the key between 0 and 1 that says nothing about its nodes: which part of the keys a node takes that may not take all yet. */
export function keyFraction(key: number): number {
  return (key >>> 0) / 2 ** 32;
}

/** MurmurHash3's finaliser: every bit of the input moves half of the output's. */
function stirred(hash: number): number {
  let h = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
