/**
 * Runs a read on the primary that replicas refuse, such as one of an UNLOGGED table. The text has
 * not been classified, so it runs READ ONLY, and as a single statement: one of several could end
 * the transaction that keeps it from writing. It decides nothing about freshness, and never writes.
 */
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { saying } from '../errors.js';
import { throwAway } from '../nodes/data-connections.js';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isOnlyForPrimary, isServerError, isWriteRefusal } from '../postgres/errors.js';
import { preparedWith } from '../postgres/prepared-query.js';
import type { Profile } from '../statements/profile.js';
import { abortable } from './abort.js';
import { textOf } from './call.js';
import type { ExecutionContext } from './context.js';
import { fallBack } from './fall-back.js';
import { openSeries } from './open-series.js';
import { leave, type Placement } from './placement.js';
import { lostAgain } from './rerun.js';
import { ask, isIdle, run, type Statement } from './statement.js';
import { waitUntilVisible } from './visibility.js';

/** What the server says of several statements where one is wanted. */
const SYNTAX_ERROR = '42601';

/** A read that a replica has answered with an error. */
export interface RefusedRead {
  readonly context: ExecutionContext;
  readonly statement: Statement;
  readonly need: Need;
  /** Our monotonic clock when the caller asked. */
  readonly startedAt: number;
}

/** Runs it on the primary where the error says that no replica can. @throws the error otherwise; one of a write says what to use */
export async function readUnlessFinal<Row extends QueryResultRow>(
  refused: RefusedRead,
  placed: Pick<Placement, 'node' | 'reason'>,
  error: unknown,
): Promise<QueryResult<Row>> {
  const { context, statement, need, startedAt } = refused;
  const { node } = placed;
  if (node.role !== 'replica' || need.target !== undefined || !isOnlyForPrimary(error)) throw adviceOn(error, node);
  if (statement.signal?.aborted === true) throw error;
  context.fleet.abandoned(placed);
  let result: QueryResult<Row>;
  try {
    result = await readOnPrimary<Row>(context, statement, need, startedAt);
  } catch (final) {
    // The replica took it for one text, and found nothing wrong with that.
    throw codeOf(final) === SYNTAX_ERROR ? error : final;
  }
  remember(context, textOf(statement.query), statement.profile);
  return result;
}

/** On the primary, READ ONLY. It runs once more when the primary is lost under it. */
export async function readOnPrimary<Row extends QueryResultRow>(
  context: ExecutionContext,
  statement: Statement,
  need: Need,
  startedAt: number,
): Promise<QueryResult<Row>> {
  const { fleet } = context;
  const { signal } = statement;
  // The extended protocol takes one statement only. No name: what fails in a transaction cannot be tried again.
  const query = preparedWith(statement.query, { queryMode: 'extended' } as Partial<QueryConfig>);
  const alone: Statement = { ...statement, query, profile: undefined };
  let lostOn: ReadonlySet<Node> | undefined;
  for (;;) {
    const placement = await begunOnPrimary(context, need, startedAt, signal);
    try {
      const result = await run<Row>(placement, alone, fleet.publisher);
      await ask(placement.connection, 'commit');
      placement.connection.client.release();
      need.trace?.ended(placement.connection.identity.server, performance.now(), need.key);
      return result;
    } catch (error) {
      await rollBack(placement, error, signal);
      lostOn = await lostAgain(fleet, placement, error, lostOn, signal);
      if (lostOn === undefined) throw withAdvice(error);
      fleet.abandoned(placement);
    } finally {
      leave(placement);
    }
  }
}

/** A connection to the primary on which a READ ONLY transaction has begun. */
export async function begunOnPrimary(
  context: ExecutionContext,
  need: Need,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  const { fleet } = context;
  await waitUntilVisible(fleet, need, signal);
  // The primary's budget counts it like any other read that no replica can serve.
  const fall = { reason: 'misrouted', told: 'misrouted', startedAt, tried: new Set(fleet.replicas), signal } as const;
  const find = async (): Promise<Placement> => {
    for (;;) {
      const placement = await fallBack(context, need, fall);
      if (placement !== undefined) return placement;
    }
  };
  return openSeries(fleet, find, ({ connection }) => abortable(ask(connection, 'begin read only'), signal), signal);
}

/** Keeps it from the replicas for a while, and warns once for all texts that differ in their constants only. */
export function remember({ fleet, warned }: ExecutionContext, text: string, profile: Profile | undefined): void {
  profile?.refused(performance.now());
  const { publisher } = fleet;
  if (!publisher.wants('warning')) return;
  const tell = async (): Promise<void> => {
    const digest = await publisher.digestOf(text);
    if (warned.get(digest) !== undefined) return;
    warned.set(digest, true);
    const message =
      `no replica can run a read (digest ${digest}), as of an UNLOGGED table: it runs on the primary, READ ONLY; ` +
      "use query, or target: 'primary'";
    publisher.publish('warning', { code: 'misrouted', message, digest });
  };
  tell().catch(() => undefined);
}

async function rollBack({ connection }: Placement, error: unknown, signal: AbortSignal | undefined): Promise<void> {
  const isAnswered = isServerError(error) && !connection.isLost && signal?.aborted !== true;
  if (isAnswered) await ask(connection, 'rollback').catch(() => undefined);
  if (isAnswered && isIdle(connection) && !connection.isLost && !connection.wasCancelled) connection.client.release();
  else throwAway(connection);
}

/** What to throw for a read that failed on that node. */
export function adviceOn(error: unknown, { role }: Pick<Node, 'role'>): unknown {
  return role === 'replica' ? withAdvice(error) : error;
}

/** pg's own error; where it says that the statement writes, its message also says what to use. */
function withAdvice(error: unknown): unknown {
  return isWriteRefusal(error)
    ? saying(error, ' (read runs its statements READ ONLY, on replicas: use write or query)')
    : error;
}
