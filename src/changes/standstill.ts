/**
 * Notices that the watermark stands still although there is more to be told: an idle primary is no standstill. It
 * compares numbers, and asks nobody.
 */
import type { Lsn } from '../freshness/lsn.js';

/**
 * The primary's log may end so far beyond what it has flushed, and so can tell: a page and more of what nobody has
 * committed yet.
 */
const UNFLUSHED_BYTES = 32_768n;

export class Standstill {
  #watermark: Lsn | undefined;
  #since: number | undefined;

  /**
   * @param watermark `undefined` while nothing is known
   * @param end of the primary's log, as far as it is known
   * @param isHeldBack whether the source has more to tell, and something keeps it from that
   * @param now our monotonic clock
   * @returns for how long it has stood still, in milliseconds; 0 where it does not
   */
  look(watermark: Lsn | undefined, end: Lsn, isHeldBack: boolean, now: number): number {
    const isBehind = watermark !== undefined && (isHeldBack || end > watermark + UNFLUSHED_BYTES);
    if (!isBehind) this.#since = undefined;
    else if (watermark !== this.#watermark || this.#since === undefined) this.#since = now;
    this.#watermark = watermark;
    return this.#since === undefined ? 0 : now - this.#since;
  }
}
