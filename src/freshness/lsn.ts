/**
 * A place in the write-ahead log as a number. Text is parsed at the door and compared nowhere: PostgreSQL 19 pads it
 * with zeros, and `9/0` sorts after `10/0`.
 */

/** A log sequence number: bytes since the beginning of the write-ahead log, 0 to 2^64 − 1. */
export type Lsn = bigint;

const LSN_TEXT = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Reads `16/B374D848`; `undefined` for anything else. */
export function parseLsn(text: string): Lsn | undefined {
  // The length comes first: the text may be a stranger's and of any size.
  const parts = text.length <= 17 ? LSN_TEXT.exec(text) : null;
  if (parts === null) return undefined;
  return (BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`);
}

/** Writes an LSN as PostgreSQL's `pg_lsn` accepts it: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** The one further on in the log. */
export function newer(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}

/** The one further back in the log. */
export function older(a: Lsn, b: Lsn): Lsn {
  return a < b ? a : b;
}

/** The sizes a server was built and initialised with; both decide where page headers stand. */
export interface WalLayout {
  readonly blockBytes: bigint;
  readonly segmentBytes: bigint;
}

const PAGE_HEADER_BYTES = 24n;
const SEGMENT_HEADER_BYTES = 40n;

/**
 * Takes an insert LSN back over a page header that no record has followed yet.
 *
 * When a record ends exactly on a page, the primary already reports the place behind the next page's header while a
 * replica that has replayed everything stays at the boundary: uncorrected, a gate would stay shut until the next record.
 */
export function normaliseLsn(lsn: Lsn, layout: WalLayout): Lsn {
  const inSegment = lsn % layout.segmentBytes;
  if (inSegment === SEGMENT_HEADER_BYTES) return lsn - SEGMENT_HEADER_BYTES;
  const inPage = lsn % layout.blockBytes;
  if (inPage === PAGE_HEADER_BYTES && inSegment > layout.blockBytes) return lsn - PAGE_HEADER_BYTES;
  return lsn;
}
