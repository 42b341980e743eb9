/**
 * One call under way. It is made where the call comes in, and walks through this room as it is:
 * what it asks, since when, for how long, and which servers were lost under it. It runs nothing.
 */
import type { Floor } from '../freshness/floor.js';
import type { Caller } from '../isolation/priority-limiter.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { Priority } from '../options/calls.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import type { Profile } from '../statements/profile.js';
import type { Introduce } from './call.js';
import type { ExecutionContext } from './context.js';

/** Whose call it is. */
export interface Asker {
  /** What the session's writes raise. */
  readonly floor: Floor;
  /** By whom its reads are counted where the primary's time is shared out. */
  caller(): Caller;
}

export interface Request extends ReadTerms {
  readonly context: ExecutionContext;
  /** Names the call in events. */
  readonly id: number;
  readonly asker: Asker;
  /** Its place in the queue for the primary. */
  readonly priority: Priority;
  /** Our monotonic clock when the caller asked. */
  readonly startedAt: number;
  /** When it stops waiting for the primary, by {@link Fleet.awakeMillis}. */
  readonly giveUpAt: number;
  /** Gives up on it: what runs is cancelled on its server. */
  readonly signal: AbortSignal | undefined;
  /** Servers that were lost under earlier attempts. */
  lostOn: ReadonlySet<Node> | undefined;
  /** How often it was run again. */
  rerunCount: number;
}

/** A statement as pg takes it. */
export interface Statement {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  /** What is known of its text; `undefined` for one that is neither named nor shares a connection. */
  readonly profile: Profile | undefined;
  /** What its user does with a connection before the statement runs there. */
  readonly introduce: Introduce | undefined;
}

/** A call that is one statement. */
export interface StatementRequest extends Request {
  readonly statement: Statement;
}
