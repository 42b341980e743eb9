/**
 * One call under way. It is made where the call comes in, and walks through this room as it is:
 * what it asks, since when, for how long, and which servers were lost under it. It runs nothing.
 */
import { CallingContext } from '../async-context.js';
import type { Floor } from '../freshness/floor.js';
import type { ReadNotes } from '../freshness/read-notes.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement, Target } from '../freshness/requirement.js';
import type { Caller } from '../isolation/priority-limiter.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { Priority } from '../options/calls.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { keyOf } from '../routing/partition.js';
import type { Profile } from '../statements/profile.js';
import { type Introduce, textOf } from './call.js';
import type { ExecutionContext } from './context.js';
import type { Entry } from './gate.js';

/** Whose call it is. */
export interface Asker {
  /** What the session's writes raise. */
  readonly floor: Floor;
  /** By whom its reads are counted where the primary's time is shared out. */
  caller(): Caller;
}

/** What a request is made of, beside what its caller asks. */
export interface Origin {
  readonly context: ExecutionContext;
  readonly entry: Entry;
  readonly scope: Scope;
  readonly signal: AbortSignal | undefined;
}

/** The session of a call. */
export interface Scope extends Asker {
  readonly key: number | undefined;
  readonly trace: ReadTrace | undefined;
  /** `undefined` where what its reads show is not wanted. */
  readonly notes: ReadNotes | undefined;
  readonly priority: Priority;
}

/** What a caller may ask of a single call. */
export interface Asked {
  readonly target?: Target | undefined;
  readonly partitionKey?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly timeoutMillis?: number | undefined;
}

export class Request implements ReadTerms {
  readonly context: ExecutionContext;
  /** Names the call in events. */
  readonly id: number;
  readonly floor: Floor;
  readonly requirement: Requirement;
  readonly target: Target | undefined;
  readonly key: number | undefined;
  readonly trace: ReadTrace | undefined;
  readonly notes: ReadNotes | undefined;
  readonly asker: Asker;
  /** Its place in the queue for the primary. */
  readonly priority: Priority;
  /** Our monotonic clock when the caller asked. */
  readonly startedAt: number;
  /** When it stops waiting for the primary, by {@link Fleet.awakeMillis}. */
  readonly giveUpAt: number;
  /** Gives up on it: what runs is cancelled on its server. */
  readonly signal: AbortSignal | undefined;
  /** Where all goes on that the call does, whatever socket or timer has brought it about. */
  readonly callingContext = new CallingContext();
  /** Servers that were lost under earlier attempts. */
  lostOn: ReadonlySet<Node> | undefined;
  /** How often it was run again. */
  rerunCount: number;

  constructor(
    { context, entry, scope, signal }: Origin,
    { target, partitionKey, priority, timeoutMillis }: Asked,
    floor: Floor,
    requirement: Requirement,
  ) {
    const { settings, heartbeat } = context.fleet;
    this.context = context;
    this.id = entry.id;
    this.floor = floor;
    this.requirement = requirement;
    this.target = target;
    this.key = keyOf(partitionKey) ?? scope.key;
    this.trace = scope.trace;
    this.notes = scope.notes;
    this.asker = scope;
    this.priority = priority ?? scope.priority;
    this.startedAt = entry.startedAt;
    this.giveUpAt = heartbeat.awake(entry.startedAt) + (timeoutMillis ?? settings.primaryWaitMillis);
    this.signal = signal;
    this.lostOn = undefined;
    this.rerunCount = 0;
  }

  /** See {@link Statement.tables}. */
  get tables(): readonly string[] | undefined {
    return undefined;
  }

  /** Whether it may read again and again, and leaves its trace when it is over. */
  get isSeries(): boolean {
    return true;
  }

  /** Of its statement; `undefined` where that is none, or several. */
  get text(): string | undefined {
    return undefined;
  }
}

/** A statement as pg takes it. */
export interface Statement {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  /** What is known of its text; `undefined` for one that is neither named nor shares a connection. */
  readonly profile: Profile | undefined;
  /** What its user does with a connection before the statement runs there. */
  readonly introduce: Introduce | undefined;
  /** Names of the relations that it reads, without their schemas; `undefined` where that is not known. */
  readonly tables: readonly string[] | undefined;
}

/** A call that is one statement. */
export class StatementRequest extends Request {
  readonly statement: Statement;

  constructor(origin: Origin, asked: Asked, floor: Floor, requirement: Requirement, statement: Statement) {
    super(origin, asked, floor, requirement);
    this.statement = statement;
  }

  override get tables(): readonly string[] | undefined {
    return this.statement.tables;
  }

  override get isSeries(): boolean {
    return false;
  }

  override get text(): string | undefined {
    return textOf(this.statement.query);
  }
}
