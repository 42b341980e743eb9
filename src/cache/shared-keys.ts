/**
 * Under which keys answers are kept in a store that several processes share. To make one takes as
 * long as all else of a look: those in use are remembered by the keys of this process.
 */
import { TextCache } from '../statements/text-cache.js';
import { sharedKey } from './key.js';
import type { Lookup } from './lookup.js';

/** Another one after each change of what stands in keys or entries. */
const FORMAT = '2';
/** Of each of two generations. */
const KEPT_COUNT = 5_000;

export class SharedKeys {
  readonly #known = new TextCache<string>(KEPT_COUNT);
  /** The cluster that they are of. */
  #clusterId: string | undefined;

  /** By the settings that its key in memory was made with: by now there may be others. */
  of({ key, text, terms, written, settings }: Lookup, clusterId: string): string {
    if (clusterId !== this.#clusterId) {
      this.#known.clear();
      this.#clusterId = clusterId;
    }
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const { scope } = terms;
    const made = sharedKey([FORMAT, clusterId, settings, text.hash, scope === undefined ? '' : `=${scope}`, written]);
    this.#known.set(key, made);
    return made;
  }
}
