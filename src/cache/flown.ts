/** What a read has brought that others may be given too, and where it came from. It decides nothing. */
import type { QueryResult } from 'pg';
import type { RouteRecord } from '../execute/route.js';
import type { AnswerSource } from '../nodes/answer-source.js';
import type { CacheEntry } from './entry.js';
import type { KeptAnswer } from './kept-answer.js';
import type { Answered } from './noted.js';

/** An answer of a server that others can be given. */
export interface FromServer extends Answered {
  readonly from: 'server';
  readonly answer: KeptAnswer;
  readonly record: RouteRecord;
  readonly source: AnswerSource;
  /** Our monotonic clock when it had been answered. */
  readonly endedAt: number;
}

/** What a read has brought. */
export type Flown =
  | FromServer
  /** An entry of the rung that processes share. */
  | { readonly from: 'shared'; readonly entry: CacheEntry }
  /** A result for its caller alone. */
  | { readonly from: 'elsewhere'; readonly result: QueryResult };
