/**
 * How often each key was used lately, by estimate, in some 12 to 24 bytes an entry. What is counted
 * once goes only into a Bloom filter, the doorkeeper: a scan leaves no trace in the counters.
 * It knows keys by their hashes alone, and never decides what is kept.
 *
 * @see https://arxiv.org/abs/1512.00727 TinyLFU
 */

/** Of four bits each, eight in a word. */
const COUNTERS_PER_ENTRY = 16;
/** A cache line: all counters of a key lie in one block of as many words. */
const BLOCK_WORDS = 16;
const MOST_COUNTED = 15;
const DOORKEEPER_BITS_PER_ENTRY = 32;
/** With three keys an entry, one in thirty of the others passes for known. */
const DOORKEEPER_KEYS_PER_ENTRY = 3;
/** All counts are halved after as many uses of known keys: old popularity fades. */
const USES_PER_ENTRY = 10;
const FEWEST_ENTRIES = 256;
/** A key is hashed in pieces of as many UTF-16 units. */
const PIECE_UNITS = 2048;

/** Each bit of the outcome hangs on all bits: the end of murmur3. */
function mixed(hash: number): number {
  let mix = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return mix ^ (mix >>> 16);
}

/** Other bits than those of the hash itself. */
function remixed(hash: number): number {
  const mix = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return mix ^ (mix >>> 13);
}

export class FrequencySketch {
  /** Of which the last uses are to be known. */
  #entryCount = FEWEST_ENTRIES;
  #counters = new Int32Array((FEWEST_ENTRIES * COUNTERS_PER_ENTRY) / 8);
  #doorkeeper = new Int32Array((FEWEST_ENTRIES * DOORKEEPER_BITS_PER_ENTRY) / 32);
  /** Of known keys, since the counts were halved. */
  #useCount = 0;
  #doorkeeperKeyCount = 0;
  readonly #piece = Buffer.alloc(PIECE_UNITS * 2);
  readonly #pieceWords = new Int32Array(this.#piece.buffer, this.#piece.byteOffset, PIECE_UNITS / 2);

  /** 32 bits of a key. Copied first: to ask a string for each unit takes three times as long. */
  hashOf(key: string): number {
    if (key.length <= PIECE_UNITS) return mixed(this.#hashOfPiece(key, 0));
    let hash = 0;
    for (let at = 0; at < key.length; at += PIECE_UNITS) {
      hash = this.#hashOfPiece(key.slice(at, at + PIECE_UNITS), hash);
    }
    return mixed(hash);
  }

  /** Says how many entries there are. It may grow; all estimates stay as they are. */
  suit(entryCount: number): void {
    this.#entryCount = Math.max(FEWEST_ENTRIES, entryCount);
    while (this.#counters.length * 8 < this.#entryCount * COUNTERS_PER_ENTRY) {
      this.#counters = doubled(this.#counters);
      this.#doorkeeper = doubled(this.#doorkeeper);
    }
  }

  /** Counts a use. @param hash of {@link hashOf} */
  recordUse(hash: number): void {
    const counters = this.#counters;
    const block = (hash & (counters.length / BLOCK_WORDS - 1)) * BLOCK_WORDS;
    const mix = remixed(hash);
    // Four rows of four words each in the block, eight counters in a word.
    const word0 = block + (mix & 3);
    const word1 = block + 4 + ((mix >>> 5) & 3);
    const word2 = block + 8 + ((mix >>> 10) & 3);
    const word3 = block + 12 + ((mix >>> 15) & 3);
    const shift0 = mix & 28;
    const shift1 = (mix >>> 5) & 28;
    const shift2 = (mix >>> 10) & 28;
    const shift3 = (mix >>> 15) & 28;
    const count0 = (counters[word0]! >>> shift0) & 15;
    const count1 = (counters[word1]! >>> shift1) & 15;
    const count2 = (counters[word2]! >>> shift2) & 15;
    const count3 = (counters[word3]! >>> shift3) & 15;
    const least = Math.min(count0, count1, count2, count3);
    if (least === 0 && !this.#isKnown(hash, mix)) {
      this.#introduce(hash, mix);
      return;
    }
    if (least < MOST_COUNTED) {
      // Only the least ones: the others count other keys too.
      if (count0 === least) counters[word0]! += 1 << shift0;
      if (count1 === least) counters[word1]! += 1 << shift1;
      if (count2 === least) counters[word2]! += 1 << shift2;
      if (count3 === least) counters[word3]! += 1 << shift3;
    }
    if (++this.#useCount >= this.#entryCount * USES_PER_ENTRY) this.#age();
  }

  /** @returns 0 to 16: at least the recent uses up to there, seldom more */
  frequencyOf(hash: number): number {
    const counters = this.#counters;
    const block = (hash & (counters.length / BLOCK_WORDS - 1)) * BLOCK_WORDS;
    const mix = remixed(hash);
    const least = Math.min(
      (counters[block + (mix & 3)]! >>> (mix & 28)) & 15,
      (counters[block + 4 + ((mix >>> 5) & 3)]! >>> ((mix >>> 5) & 28)) & 15,
      (counters[block + 8 + ((mix >>> 10) & 3)]! >>> ((mix >>> 10) & 28)) & 15,
      (counters[block + 12 + ((mix >>> 15) & 3)]! >>> ((mix >>> 15) & 28)) & 15,
    );
    return least + (this.#isKnown(hash, mix) ? 1 : 0);
  }

  #hashOfPiece(piece: string, seed: number): number {
    const byteCount = this.#piece.write(piece, 0, 'utf16le');
    const words = this.#pieceWords;
    const wordCount = byteCount >>> 2;
    let hash = seed ^ byteCount;
    for (let at = 0; at < wordCount; at++) {
      hash = Math.imul(hash ^ words[at]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    // An odd unit is left over.
    return (byteCount & 2) === 0 ? hash : Math.imul(hash ^ (words[wordCount]! & 0xffff), 0x9e3779b1);
  }

  #isKnown(hash: number, mix: number): boolean {
    const words = this.#doorkeeper;
    const mask = words.length - 1;
    const one = words[(hash >>> 5) & mask]! >>> (hash & 31);
    const other = words[(mix >>> 5) & mask]! >>> (mix & 31);
    return (one & other & 1) === 1;
  }

  #introduce(hash: number, mix: number): void {
    const words = this.#doorkeeper;
    const mask = words.length - 1;
    // Cleared by itself when it is full: halving the counts then would let a scan age them.
    if (++this.#doorkeeperKeyCount > this.#entryCount * DOORKEEPER_KEYS_PER_ENTRY) this.#clearDoorkeeper();
    words[(hash >>> 5) & mask]! |= 1 << (hash & 31);
    words[(mix >>> 5) & mask]! |= 1 << (mix & 31);
  }

  #age(): void {
    this.#useCount = 0;
    this.#clearDoorkeeper();
    const counters = this.#counters;
    for (let at = 0; at < counters.length; at++) counters[at] = (counters[at]! >>> 1) & 0x77777777;
  }

  #clearDoorkeeper(): void {
    this.#doorkeeper.fill(0);
    this.#doorkeeperKeyCount = 0;
  }
}

/** Each place twice, so that a key finds its own whether or not its hash has the new bit. */
function doubled(words: Int32Array): Int32Array<ArrayBuffer> {
  const twice = new Int32Array(words.length * 2);
  twice.set(words);
  twice.set(words, words.length);
  return twice;
}
