/** What an error says by itself about the connection and the server it came from. Pure. What became of the connection is not its business. */

import { constants } from 'node:os';
import { isError } from '../errors.js';

/**
 * SQLSTATEs with which a server takes its connection away: shutdowns, crashes, timeouts of the session, broken connections. A statement may raise each of
 * them as well, on a connection that lives on.
 */
const LOST_STATES = new Set([
  '57P01',
  '57P02',
  '57P03',
  '57P04',
  '57P05',
  '25P03',
  '25P04',
  '08000',
  '08003',
  '08006',
  '08P01',
]);
/** The server's own mistake; what poolers without better words say, too. */
const INTERNAL_STATE = 'XX000';
/** PostgreSQL's routine behind `RAISE`. */
const RAISING = 'exec_stmt_raise';
/** What Node says of a socket, a stream or its encryption. */
const SOCKET_CODES = /^ERR_(?:SOCKET|STREAM|SSL|TLS)_/;
/** pg raises these itself, without any code. */
const LOST_MESSAGES = /^(Connection terminated|Client has encountered a connection error|Client was closed)/;

/** Why somebody who waited for a connection got none: nothing was sent, and nothing new is known of the server. */
export class WaitCancelled extends Error {}

/** Why a question has failed: the server has said nothing for so long. */
export class NoAnswer extends Error {}

/** An answer that PostgreSQL does not give. Its message names the field and never quotes the value. */
export class InvalidAnswer extends Error {
  constructor(what: string) {
    super(`its answer makes no sense: ${what}`);
    this.name = 'InvalidAnswer';
  }
}

/** The error's SQLSTATE or system code; `undefined` when it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = isError(error) && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * What an error tells by itself. `answered`: it is the statement's, and the server has said so. `lost`: what became of the statement is not known.
 * `open`: what becomes of its connection tells which of the two. `foreign`: no server has said it, nor a pooler.
 */
export type Verdict = 'answered' | 'lost' | 'open' | 'foreign';

export function verdictOf(error: unknown): Verdict {
  if (isReadTimeout(error) || isPoolersLoss(error)) return 'lost';
  if (!isServerError(error)) return 'foreign';
  const code = codeOf(error) ?? '';
  return LOST_STATES.has(code) || code === INTERNAL_STATE ? 'open' : 'answered';
}

/** Whether pg has read it from a server, or from a pooler: those say how severe it is, in whatever language. */
export function isServerError(error: unknown): boolean {
  return isError(error) && typeof (error as { severity?: unknown }).severity === 'string';
}

/** Whether it comes from pg, and not from the program around it: from a server, or from the loss of one. */
export function isOfPg(error: unknown): boolean {
  return isServerError(error) || isConnectionLoss(error);
}

/** Whether a function's own code has raised it, which may say whatever it likes. */
function isRaised(error: unknown): boolean {
  return routineOf(error) === RAISING;
}

/** PostgreSQL's own function that raised it. */
function routineOf(error: unknown): string {
  return String((error as { routine?: unknown } | null)?.routine);
}

/** Whether an error is the server's fault and not the statement's: it is short of something, cancels what takes too long, its disk fails, its data are damaged. */
export function isServerFault(error: unknown): boolean {
  return !isRaised(error) && /^(53|57|58|F0|XX00[12])/.test(codeOf(error) ?? '');
}

/** Whether there is no connection, by the error's words alone: for one that could not be had, where there is nothing else to go by. */
export function isConnectionLoss(error: unknown): boolean {
  if (isServerError(error)) return LOST_STATES.has(codeOf(error) ?? '') || isPoolersLoss(error);
  if (isReadTimeout(error) || isSystemError(error)) return true;
  return isError(error) && LOST_MESSAGES.test(error.message);
}

/** Whether a statement took longer than its user allows: by pg (`query_timeout`), which waits no longer, or by the server (`transaction_timeout`), which ends the connection. */
export function isTooLong(error: unknown): boolean {
  return isReadTimeout(error) || codeOf(error) === '25P04';
}

/** Whether a bound on a session that is idle has ended its connection (`idle_session_timeout`, `idle_in_transaction_session_timeout`). */
export function wasTooIdle(error: unknown): boolean {
  return codeOf(error) === '57P05' || codeOf(error) === '25P03';
}

function isReadTimeout(error: unknown): boolean {
  return isError(error) && error.message === 'Query read timeout' && !isServerError(error);
}

/**
 * What a pooler says in its own name when the server behind it has gone: unlike PostgreSQL, it does not name the routine and the file that say so. Pgpool-II does,
 * and has nothing better than an internal error for it: a FATAL one, or where the server's end was reset a mere ERROR.
 */
function isPoolersLoss(error: unknown): boolean {
  if (!isServerError(error)) return false;
  const { severity, file, routine } = error as { severity?: unknown; file?: unknown; routine?: unknown };
  if (codeOf(error) !== INTERNAL_STATE)
    return file === undefined && routine === undefined && LOST_STATES.has(codeOf(error) ?? '');
  return severity === 'FATAL' || severity === 'PANIC' || (typeof file === 'string' && file.startsWith('pool_'));
}

/** Whether a connection could not be had because the server is gone, hangs, or is none that can be believed: another one may take its place. */
export function isGone(error: unknown): boolean {
  if (error instanceof WaitCancelled || error instanceof NoAnswer || error instanceof InvalidAnswer) return true;
  return isConnectionLoss(error);
}

/** Whether replay had to cancel the statement: on a replica, 40001 means nothing else for a single read. */
export function isRecoveryConflict(error: unknown): boolean {
  return codeOf(error) === '40001' && !isRaised(error);
}

/** PostgreSQL's routine behind the refusal of SERIALIZABLE. */
const SERIALIZING = 'GetSerializableTransactionSnapshot';

/** Whether a standby refuses a statement since its transaction is SERIALIZABLE. */
export function refusesSerializable(error: unknown): boolean {
  const { code, routine } = Object(error) as { code?: unknown; routine?: unknown };
  return code === '0A000' && routine === SERIALIZING;
}

/** SQLSTATEs with which a replica refuses what it cannot do. Its messages may be in any language, so they do not count. */
const REFUSAL_STATES = new Set(['25006', '55000', '0A000', 'XX000']);

/** Whether a replica's error may mean that the primary could have done it: nothing has happened then, and the primary's answer is final. */
export function isRefusal(error: unknown): boolean {
  return REFUSAL_STATES.has(codeOf(error) ?? '') && !refusesSerializable(error);
}

/** Whether the server has ended a session since it was idle in a transaction: it looks for that before it commits, and so has committed nothing. */
export function endedIdleTransaction(error: unknown): boolean {
  return isServerError(error) && codeOf(error) === '25P03' && !isRaised(error);
}

const WRITE_REFUSED = '25006';

/** Whether a server says that a statement writes where nothing may be written. */
export function isWriteRefusal(error: unknown): boolean {
  return codeOf(error) === WRITE_REFUSED && !isRaised(error);
}

/** SQLSTATEs with which a replica refuses what can be read on the primary: UNLOGGED tables, where the log is written. */
const UNREADABLE_STATES = new Set(['0A000', '55000']);
/** PostgreSQL's routines that say the same of what a session did before, which another connection would say of somebody else's; and of a plan that is outdated. */
const OF_SESSIONS = new Set(['currval_oid', 'lastval', 'RevalidateCachedQuery']);

/** PostgreSQL's routine that finds a materialized view empty: the primary finds the same, as far as the read must see its writes. */
const UNPOPULATED = 'ExecOpenScanRelation';

/** Whether a replica's error is of the kind that it refuses reads with, whatever raised it: none that another connection would answer for. */
export function isUnreadable(error: unknown): boolean {
  if (!isServerError(error) || !UNREADABLE_STATES.has(codeOf(error) ?? '')) return false;
  return !OF_SESSIONS.has(routineOf(error));
}

/** Whether a replica's error may mean that only the primary can read it. */
export function isOnlyForPrimary(error: unknown): boolean {
  const isSameThere = routineOf(error) === UNPOPULATED || refusesSerializable(error);
  return isUnreadable(error) && !isRaised(error) && !isSameThere;
}

/** SQLSTATEs of a name that does not exist: table, function, column, type, schema. */
const MISSING_STATES = new Set(['42P01', '42883', '42703', '42704', '3F000']);

/** Whether a replica's error may mean that somebody's definition has not come there yet. */
export function isMissingName(error: unknown): boolean {
  return MISSING_STATES.has(codeOf(error) ?? '');
}

/** Whether the pool had no free connection in time, whatever the server behind it is doing. */
export function isPoolTimeout(error: unknown): boolean {
  return isError(error) && error.message === 'timeout exceeded when trying to connect';
}

/** `ECONNRESET`, `EPIPE`, …: Node's own, which name what the system has refused, or have a name that is known. */
function isSystemError(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined) return false;
  const { errno, syscall } = error as { errno?: unknown; syscall?: unknown };
  return typeof syscall === 'string' || typeof errno === 'number' || code in constants.errno || SOCKET_CODES.test(code);
}
