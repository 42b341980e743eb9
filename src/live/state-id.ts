/**
 * The id of a state: where it was read and a digest of what it shows, so that any process can say
 * later whether that has changed. It is read as a stranger's: what does not fit is no id.
 */
import { createHash } from 'node:crypto';
import type { RawAnswer } from '../cache/raw-answer.js';
import type { Lsn } from '../freshness/lsn.js';

/** A place in the log of the cluster, which the id does not name. */
export interface LogPlace {
  readonly timeline: number;
  readonly lsn: Lsn;
}

export interface StateId {
  /** Names the query: ids of others say nothing of it. */
  readonly query: string;
  /** It showed all up to there; `undefined` for an answer of the primary. */
  readonly place: LogPlace | undefined;
  readonly digest: string;
}

/** 96 bits, as base64url. */
const DIGEST_LENGTH = 16;
/** Enough for a mistake: nobody gains by two queries that share it. */
const QUERY_LENGTH = 8;
const ID = /^(\d{1,10})\.([0-9a-f]{1,16})\.([\w-]{8})([\w-]{16})$/;
const MAX_TIMELINE = 2 ** 32 - 1;

/** @param name of the query: its text and values, at any length */
export function queryTagOf(name: string): string {
  return createHash('sha256').update(name).digest('base64url').slice(0, QUERY_LENGTH);
}

/** Of what a query shows. */
export function digestOf({ fields, rows }: RawAnswer): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(fields.map(({ name, dataTypeID }) => [name, dataTypeID])));
  // Row by row: a text of all of them would be as large as the answer.
  for (const row of rows) hash.update(JSON.stringify(row)).update('\n');
  return hash.digest('base64url').slice(0, DIGEST_LENGTH);
}

export function formatId({ query, place, digest }: StateId): string {
  return `${place?.timeline ?? 0}.${(place?.lsn ?? 0n).toString(16)}.${query}${digest}`;
}

/** `undefined` for what is no id. */
export function parseId(text: string): StateId | undefined {
  const [, timelineText, lsnText, query, digest] = ID.exec(text) ?? [];
  if (timelineText === undefined || lsnText === undefined || query === undefined || digest === undefined)
    return undefined;
  const timeline = Number(timelineText);
  if (timeline > MAX_TIMELINE) return undefined;
  const place = timeline === 0 ? undefined : { timeline, lsn: BigInt(`0x${lsnText}`) };
  return { query, place, digest };
}
