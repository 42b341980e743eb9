/**
 * What a read asks of caches, put together once: under which key its answer is kept, on what terms,
 * and how it is sent so that its answer can be kept. It looks nothing up.
 */
import type { QueryConfig } from 'pg';
import type { Entry } from '../execute/gate.js';
import type { Scope, Statement } from '../execute/request.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { ReadOptions } from '../options/calls.js';
import { type PreparedConfig, type PreparedQuery, preparedWith } from '../postgres/prepared-query.js';
import { type ParserSource, RAW } from '../postgres/raw-results.js';
import { writable } from '../postgres/values.js';
import type { SessionScope } from '../session/scope.js';
import type { CacheTerms } from './terms.js';
import type { CachedText } from './texts.js';

/** A read as it comes in. */
export interface CacheCall {
  readonly scope: SessionScope;
  readonly statement: Statement;
  readonly options: ReadOptions | undefined;
  readonly entry: Entry;
  readonly signal: AbortSignal | undefined;
}

export interface Lookup {
  readonly call: CacheCall;
  /** Its session, or what stands in its place. */
  readonly asker: Scope;
  readonly text: CachedText;
  readonly terms: CacheTerms;
  /** What the read asks of servers. */
  readonly reading: ReadTerms;
  /** What it asks of kept answers: the same, with a bound of their own on age. */
  readonly judging: ReadTerms;
  /** Of connections, when the key was made. */
  readonly settings: string;
  /** Of the process's own rung. */
  readonly key: string;
  readonly values: readonly unknown[];
  /** The same, as they stand in keys. */
  readonly written: string;
  readonly rowMode: 'array' | undefined;
  /** The call's own parsers. */
  readonly types: ParserSource | undefined;
  /** All tables that the answer is of. */
  readonly tables: readonly string[];
  /** The same for what a session has seen: a partition and its parent show the same rows, and have one name there. */
  readonly families: readonly string[];
}

/** What pg takes beside these makes another answer of it, or another way to it. */
const PLAIN_KEYS: ReadonlySet<string> = new Set(['text', 'values', 'name', 'rowMode', 'types']);

/** The values of a statement whose answer can be kept, as they travel; `undefined` for any other. @throws what a value's own conversion throws */
export function keepableValues({ query, values, introduce }: Statement): readonly unknown[] | undefined {
  if (introduce !== undefined) return undefined;
  if (typeof query === 'string') return writable(values);
  for (const key in query) if (!PLAIN_KEYS.has(key)) return undefined;
  const { rowMode, types } = query as PreparedConfig & { rowMode?: unknown };
  if ((rowMode !== undefined && rowMode !== 'array') || Array.isArray(types)) return undefined;
  return writable(values ?? query.values);
}

/** @param settings stands for the settings of the connections that answer @param written the values, by `valuesKey` */
export function keyOf(settings: number, text: CachedText, scope: string | undefined, written: string): string {
  return scope === undefined
    ? `${settings}.${text.id}:${written}`
    : `${settings}.${text.id}.${scope.length}.${scope}:${written}`;
}

/** How the caller wants its rows. */
export function mannerOf(query: PreparedQuery): Pick<Lookup, 'rowMode' | 'types'> {
  if (typeof query === 'string') return PLAIN;
  const { rowMode, types } = query as PreparedConfig & { rowMode?: 'array'; types?: ParserSource };
  return { rowMode, types };
}

/** The same read outside of sessions, in the background: only a replica answers it. */
export function inBackgroundOf({ call, asker, reading, ...rest }: Lookup, entry: Entry): Lookup {
  const options = { target: 'replica', priority: 'low' } as const;
  const { floor, key } = asker;
  return {
    ...rest,
    call: { ...call, options, entry, signal: undefined },
    asker: { floor, key, trace: undefined, notes: undefined, priority: 'low', caller: () => asker.caller() },
    reading: { ...reading, target: 'replica', trace: undefined },
  };
}

const PLAIN: Pick<Lookup, 'rowMode' | 'types'> = { rowMode: undefined, types: undefined };

/** What a read asks of kept answers. Named one by one: to spread an object takes as long as all else here. */
export function judgingOf({ floor, requirement, target, key, trace }: ReadTerms, mostMillis: number): ReadTerms {
  const { consistency, maxStalenessMillis = mostMillis } = requirement;
  const bounded = { consistency, maxStalenessMillis: Math.min(maxStalenessMillis, mostMillis) };
  return { floor, requirement: bounded, target, key, trace };
}

/** The statement, sent so that each field comes as it travels. */
export function rawStatement({
  call: { statement },
  values,
  families,
}: Pick<Lookup, 'values' | 'families'> & { readonly call: Pick<CacheCall, 'statement'> }): Statement {
  const own = { values: [...values], rowMode: 'array', types: RAW } as unknown as Partial<QueryConfig>;
  return { ...statement, query: preparedWith(statement.query, own), values: undefined, tables: families };
}
