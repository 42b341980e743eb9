/**
 * What the process that reads the log tells the others, as a text. What is read back may be
 * anybody's text: whatever is not a message of exactly this format is none, and nothing throws.
 * It judges no order: whether a message follows the one before, its reader decides.
 */
import { MAX_RELAY_MESSAGE_LENGTH } from '../change-relay.js';
import type { TableChange } from '../change-source.js';
import { formatLsn, type Lsn, parseLsn } from '../freshness/lsn.js';

/** One reading of the log, from where it began until it breaks off. */
export interface RelayEpoch {
  /** 1 to 2^32 − 1. */
  readonly timeline: number;
  /** Where it began. */
  readonly start: Lsn;
  /** Names it: 1 to 64 characters. Two readings may begin at one place. */
  readonly id: string;
}

/** What one commit has changed. */
export interface RelayedCommit {
  /** Its end, or a position beyond it. */
  readonly lsn: Lsn;
  readonly changes: readonly TableChange[] | 'all';
}

/** Of which tables all changes are told, and whether those of definitions are. */
export interface RelayedScope {
  readonly tables: readonly string[];
  readonly tellsDefinitions: boolean;
}

export interface RelayMessage {
  /** Whose changes these are: of which cluster, database and tables. 1 to 256 characters. */
  readonly stream: string;
  readonly epoch: RelayEpoch;
  /** Counts the messages of its epoch, from 0. */
  readonly number: number;
  /** This message and later ones tell all changes of the commits that end beyond this position. */
  readonly from: Lsn;
  /** With this message, all commits up to here are told. It may lie below `from`. */
  readonly to: Lsn;
  readonly commits: readonly RelayedCommit[];
  /** In the first message of an epoch, and in one each second. */
  readonly scope?: RelayedScope | undefined;
  /** The epoch ends with this message: something may be missing, or its process ends. */
  readonly end?: 'broken' | 'left' | undefined;
}

/** Each format has another one. */
const VERSION = 'pglc1';
const BEGIN = `["${VERSION}",`;
const PART_COUNT = 11;
const MAX_STREAM_LENGTH = 256;
const MAX_ID_LENGTH = 64;
/** PostgreSQL allows 1,600 columns in a table, and 32 in an index. */
const MAX_KEY_COLUMNS = 32;
const MAX_NAME_LENGTH = 1_024;
const UINT32 = 2 ** 32 - 1;

export function encodeRelayMessage(message: RelayMessage): string {
  const { stream, epoch, number, from, to, commits, scope, end } = message;
  return JSON.stringify([
    VERSION,
    stream,
    epoch.timeline,
    formatLsn(epoch.start),
    epoch.id,
    number,
    formatLsn(from),
    formatLsn(to),
    commits.map(({ lsn, changes }) => [
      formatLsn(lsn),
      changes === 'all'
        ? 0
        : changes.map(({ table, keyColumns, keys }) =>
            keyColumns === undefined || keys === undefined ? [table] : [table, keyColumns, keys],
          ),
    ]),
    scope === undefined ? 0 : [scope.tables, scope.tellsDefinitions],
    end ?? 0,
  ]);
}

/** The message that the text says, or `undefined` if it says none. */
export function decodeRelayMessage(text: unknown): RelayMessage | undefined {
  if (typeof text !== 'string' || text.length > MAX_RELAY_MESSAGE_LENGTH || !text.startsWith(BEGIN)) return undefined;
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isList(parts) && parts.length === PART_COUNT ? messageOf(parts) : undefined;
}

function messageOf(parts: readonly unknown[]): RelayMessage | undefined {
  const [, stream, timeline, startText, id, number, fromText, toText, commitList, scopeList, end] = parts;
  const start = lsnOf(startText);
  const from = lsnOf(fromText);
  const to = lsnOf(toText);
  if (!isText(stream, MAX_STREAM_LENGTH) || !isText(id, MAX_ID_LENGTH)) return undefined;
  if (!isWithin(timeline, 1, UINT32) || !isWithin(number, 0, Number.MAX_SAFE_INTEGER)) return undefined;
  if (start === undefined || from === undefined || to === undefined || from < start || to < start) return undefined;
  if (end !== 0 && end !== 'broken' && end !== 'left') return undefined;
  const scope = scopeList === 0 ? undefined : scopeOf(scopeList);
  const commits = listOf(commitList, commitOf);
  if (commits === undefined || (scopeList !== 0 && scope === undefined)) return undefined;
  const epoch = { timeline, start, id };
  return { stream, epoch, number, from, to, commits, scope, end: end === 0 ? undefined : end };
}

function scopeOf(part: unknown): RelayedScope | undefined {
  if (!isList(part) || part.length !== 2) return undefined;
  const [names, tellsDefinitions] = part;
  const tables = listOf(names, nameOf);
  return tables === undefined || typeof tellsDefinitions !== 'boolean' ? undefined : { tables, tellsDefinitions };
}

function commitOf(part: unknown): RelayedCommit | undefined {
  if (!isList(part) || part.length !== 2) return undefined;
  const lsn = lsnOf(part[0]);
  const changes = part[1] === 0 ? 'all' : listOf(part[1], changeOf);
  return lsn === undefined || changes === undefined ? undefined : { lsn, changes };
}

function changeOf(part: unknown): TableChange | undefined {
  if (!isList(part)) return undefined;
  const table = nameOf(part[0]);
  if (table === undefined) return undefined;
  if (part.length === 1) return { table };
  if (part.length !== 3 || !isList(part[1]) || part[1].length > MAX_KEY_COLUMNS) return undefined;
  const keyColumns = listOf(part[1], nameOf);
  if (keyColumns === undefined || keyColumns.length === 0) return undefined;
  const keys = listOf(part[2], (key) => keyOf(key, keyColumns.length));
  return keys === undefined ? undefined : { table, keyColumns, keys };
}

function keyOf(part: unknown, columnCount: number): string[] | undefined {
  return isList(part) && part.length === columnCount ? listOf(part, textOf) : undefined;
}

/** Each of them, or `undefined` if one is not what it has to be. */
function listOf<T>(part: unknown, one: (part: unknown) => T | undefined): T[] | undefined {
  if (!isList(part)) return undefined;
  const list: T[] = [];
  for (const item of part) {
    const read = one(item);
    if (read === undefined) return undefined;
    list.push(read);
  }
  return list;
}

function lsnOf(part: unknown): Lsn | undefined {
  return typeof part === 'string' ? parseLsn(part) : undefined;
}

function nameOf(part: unknown): string | undefined {
  return isText(part, MAX_NAME_LENGTH) ? part : undefined;
}

function textOf(part: unknown): string | undefined {
  return typeof part === 'string' ? part : undefined;
}

function isList(part: unknown): part is readonly unknown[] {
  return Array.isArray(part);
}

function isText(part: unknown, maxLength: number): part is string {
  return typeof part === 'string' && part.length > 0 && part.length <= maxLength;
}

function isWithin(part: unknown, least: number, most: number): part is number {
  return typeof part === 'number' && Number.isInteger(part) && part >= least && part <= most;
}
