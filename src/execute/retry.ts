/** What an error says about the connection and the server it came from. Pure. */
import { SentAway } from '../nodes/data-connections.js';
import { InvalidAnswer } from '../nodes/observation.js';

/** SQLSTATEs with which a server takes its connection away: shutdowns, crashes, timeouts of the session, broken connections. */
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
/** pg raises these itself, without any code. */
const LOST_MESSAGES = /^(Connection terminated|Client has encountered a connection error|Client was closed)/;

/** The error's SQLSTATE or system code; `undefined` when it has none. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Whether the server answered with an error of its own and the connection lives on. */
export function isServerError(error: unknown): boolean {
  const code = codeOf(error);
  if (code === undefined || isPoolersLoss(error)) return false;
  return /^[0-9A-Z]{5}$/.test(code) && !LOST_STATES.has(code) && !isSystemCode(code);
}

/** Whether an error is the server's fault and not the statement's: it is short of something, cancels what takes too long, its disk fails, its data are damaged. */
export function isServerFault(error: unknown): boolean {
  return /^(53|57|58|F0|XX00[12])/.test(codeOf(error) ?? '');
}

/** Whether the connection went away under the statement, so that nobody knows what became of it. */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== undefined) return LOST_STATES.has(code) || isSystemCode(code) || isPoolersLoss(error);
  return isReadTimeout(error) || (error instanceof Error && LOST_MESSAGES.test(error.message));
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
  return error instanceof Error && error.message === 'Query read timeout';
}

/**
 * What a pooler says in its own name when the server behind it has gone. Pgpool-II has nothing better than an internal error for it:
 * a FATAL one, or where the server's end was reset a mere ERROR, which only the source file it comes from tells from PostgreSQL's own.
 */
function isPoolersLoss(error: unknown): boolean {
  if (codeOf(error) !== 'XX000') return false;
  const { severity, file } = error as { severity?: unknown; file?: unknown };
  return severity === 'FATAL' || severity === 'PANIC' || (typeof file === 'string' && file.startsWith('pool_'));
}

/** Whether a connection could not be had because the server is gone, hangs, or is none that can be believed: another one may take its place. */
export function isGone(error: unknown): boolean {
  return error instanceof SentAway || error instanceof InvalidAnswer || isConnectionLoss(error);
}

/** Whether replay had to cancel the statement: on a replica, 40001 means nothing else for a single read. */
export function isRecoveryConflict(error: unknown): boolean {
  return codeOf(error) === '40001';
}

/** SQLSTATEs with which a replica refuses what it cannot do. Its messages may be in any language, so they do not count. */
const REFUSAL_STATES = new Set(['25006', '55000', '0A000', 'XX000']);

/** Whether a replica's error may mean that the primary could have done it: nothing has happened then, and the primary's answer is final. */
export function isRefusal(error: unknown): boolean {
  return REFUSAL_STATES.has(codeOf(error) ?? '');
}

/** SQLSTATEs of a name that does not exist: table, function, column, type, schema. */
const MISSING_STATES = new Set(['42P01', '42883', '42703', '42704', '3F000']);

/** Whether a replica's error may mean that somebody's definition has not come there yet. */
export function isMissingName(error: unknown): boolean {
  return MISSING_STATES.has(codeOf(error) ?? '');
}

/** Whether the pool had no free connection in time, whatever the server behind it is doing. */
export function isPoolTimeout(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect';
}

/** `ECONNRESET`, `EPIPE`, …: Node's, where a SQLSTATE begins with a digit or is one of PostgreSQL's few letters (`F0`, `HV`, `P0`, `XX`). */
function isSystemCode(code: string): boolean {
  return code.startsWith('E');
}
