/**
 * Remembers something for each text that is in use, within bounds. Two generations: the older one
 * is dropped when the younger one is full. A hit costs one look into a Map; to keep an order of use
 * would cost ten times that.
 */
import { createHash } from 'node:crypto';
import { MAX_TEXT_LENGTH } from '../sql/readable.js';

const MAX_COUNT = 10_000;
const MAX_BYTES = 8 * 1024 * 1024;
/**
 * In characters. A longer text is kept by its hash, so that thousands of generated texts do not
 * fill the memory.
 */
const LONG_TEXT = 10_000;
/** Beside the text itself. */
const ENTRY_BYTES = 200;

export class TextCache<V> {
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #bytes = 0;

  /**
   * @param maxCount of one generation; both together hold twice as much. @param maxBytes likewise
   */
  constructor(maxCount = MAX_COUNT, maxBytes = MAX_BYTES) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(text: string): V | undefined {
    // All that can be known of it is that it is too long; its hash would cost far more.
    if (text.length > MAX_TEXT_LENGTH) return undefined;
    const key = keyOf(text);
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const older = this.#old.get(key);
    if (older !== undefined) {
      this.#old.delete(key);
      this.#add(key, older);
    }
    return older;
  }

  set(text: string, value: V): void {
    if (text.length <= MAX_TEXT_LENGTH) this.#add(keyOf(text), value);
  }

  clear(): void {
    this.#young = new Map();
    this.#old = new Map();
    this.#bytes = 0;
  }

  #add(key: string, value: V): void {
    if (!this.#young.has(key)) this.#bytes += 2 * key.length + ENTRY_BYTES;
    this.#young.set(key, value);
    if (this.#young.size <= this.#maxCount && this.#bytes <= this.#maxBytes) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#bytes = 0;
  }
}

/** Never a fingerprint: that is equal for texts that differ in their constants. */
function keyOf(text: string): string {
  return text.length > LONG_TEXT ? createHash('sha256').update(text).digest('base64') : text;
}
