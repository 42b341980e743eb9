/**
 * Which replica a key belongs to, worked out anew from the formula that docs/reference/hashing.md and the head of `src/routing/partition.ts` tell, and not from its code: with bigints,
 * from bytes to score.
 */

const MASK = 0xffffffffn;

/** FNV-1a over the UTF-16 code units, stirred by MurmurHash3's finaliser; unsigned. */
export function hash(text: string): bigint {
  let h = 2166136261n;
  for (const unit of text.split('')) h = ((h ^ BigInt(unit.charCodeAt(0))) * 16777619n) & MASK;
  return stir(h);
}

function stir(value: bigint): bigint {
  let h = value;
  h = ((h ^ (h >> 16n)) * 0x85ebca6bn) & MASK;
  h = ((h ^ (h >> 13n)) * 0xc2b2ae35n) & MASK;
  return h ^ (h >> 16n);
}

export interface Weighted {
  readonly name: string;
  readonly weight: number;
}

/** The first in the key's order: that with the highest −weight / ln((stir(h(key) xor h(name)) + 0.5) / 2³²). */
export function ownerOf<N extends Weighted>(key: string, nodes: readonly N[]): N | undefined {
  const scored = nodes.map((node) => {
    const u = (Number(stir(hash(key) ^ hash(node.name))) + 0.5) / 4294967296;
    return { node, score: -node.weight / Math.log(u) };
  });
  return scored.toSorted((a, b) => b.score - a.score)[0]?.node;
}

/** As `stats().hotKeys` writes it. */
export function hashInHex(key: string): string {
  return hash(key).toString(16).padStart(8, '0');
}
