/** Rows one after the other, placed like a read. Run again elsewhere only while no row has been handed out. */
import { performance } from '../clock.js';
import { invalidOptions, wordFor } from '../errors.js';
import { throwAway } from '../nodes/data-connections.js';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { isOnlyForPrimary } from '../postgres/errors.js';
import type { ExecutionContext } from './context.js';
import { giveBack } from './give-back.js';
import { place } from './place.js';
import { leave, type Placement } from './placement.js';
import { adviceOn, begunOnPrimary, remember } from './read-on-primary.js';
import { lostAgain } from './rerun.js';
import { ask, failedOn } from './statement.js';

/** What we need of pg-query-stream. */
type QueryStreamClass = new (
  text: string,
  values: unknown[] | undefined,
  options: { highWaterMark: number },
) => RowStream;
type RowStream = AsyncIterable<unknown> & {
  destroy(error?: unknown): void;
  _destroy(error: Error | null, done: (error: Error | null) => void): void;
  submit(connection: unknown): void;
};

/** As Node, test runners and bundlers say it. */
const MISSING = /\b(?:module|package|resolve|url) ['"]?pg-query-stream\b(?!\/)/i;

export interface StreamRequest {
  readonly text: string;
  readonly values: unknown[] | undefined;
  readonly batchRows: number;
  readonly need: Need;
  readonly signal: AbortSignal | undefined;
}

export async function* stream<Row>(
  context: ExecutionContext,
  { text, values, batchRows, need, signal }: StreamRequest,
): AsyncGenerator<Row, void, void> {
  const QueryStream = await load();
  context.fleet.recordUse(need, performance.now());
  let lostOn: ReadonlySet<Node> | undefined;
  const profile = context.eligibility.recordUse(text);
  let isForPrimary = need.target === undefined && profile?.isForPrimary(performance.now()) === true;
  let wasRefused = false;
  for (;;) {
    // It throws at values that pg cannot write: before there is a connection to give back.
    const rows = new QueryStream(text, values, { highWaterMark: batchRows });
    const placement = isForPrimary
      ? await begunOnPrimary(context, need, performance.now(), signal)
      : await place(context, need, performance.now(), lostOn, signal);
    const { client } = placement.connection;
    // It would wait for the server to close its cursor, which one that is lost never does; the connection of a stream that has not ended well is closed anyway.
    rows._destroy = (error, done) => done(error);
    const cancel = (): void => {
      placement.node.cancel(placement.connection);
      rows.destroy(signal?.reason);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    // pg-cursor tells of no loss once the server has said that it was done.
    const lost = (): void => rows.destroy(new Error('Connection terminated unexpectedly'));
    client.once('end', lost);
    let hasRows = false;
    let isWhole = false;
    try {
      // It may have been given up while its connection was waited for.
      signal?.throwIfAborted();
      client.query(rows);
      placement.node.statementCount++;
      for await (const row of rows) {
        signal?.throwIfAborted();
        hasRows = true;
        yield row as Row;
      }
      if (isForPrimary) await ask(placement.connection, 'commit');
      isWhole = true;
      if (wasRefused) remember(context, text, profile);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      if (hasRows) throw error;
      await new Promise<void>((resolve) => failedOn(placement.connection, error, resolve));
      const isRefused = placement.node.role === 'replica' && isOnlyForPrimary(error);
      if (isRefused && need.target === undefined && !placement.connection.isLost) {
        context.fleet.abandoned(placement);
        isForPrimary = true;
        wasRefused = true;
        continue;
      }
      lostOn = await lostAgain(context.fleet, placement, error, lostOn, signal);
      if (lostOn === undefined) throw adviceOn(error, placement.node);
      context.fleet.abandoned(placement);
    } finally {
      signal?.removeEventListener('abort', cancel);
      client.removeListener('end', lost);
      // A stream that was left early has rows under way: its connection serves nobody else.
      const isSound = isWhole && !placement.connection.wasCancelled;
      const refusal = isSound ? giveBack(placement, { query: text, signal }, context.fleet.publisher) : undefined;
      if (!isSound) throwAway(placement.connection);
      end(placement, need);
      if (refusal !== undefined) await refusal;
    }
  }
}

function end(placement: Placement, { trace, key }: Need): void {
  trace?.ended(placement.connection.identity.server, performance.now(), key);
  leave(placement);
}

/** An optional peer, loaded on first use. */
async function load(): Promise<QueryStreamClass> {
  try {
    const module = (await import('pg-query-stream')) as unknown as { default: QueryStreamClass };
    return module.default;
  } catch (cause) {
    const isMissing = MISSING.test(String((cause as { message?: unknown } | null)?.message));
    const message = isMissing
      ? 'expected the package pg-query-stream to be installed: npm install pg-query-stream'
      : `the package pg-query-stream is there, but cannot be loaded here (${wordFor(cause)}); the cause says why`;
    throw invalidOptions(`stream: ${message}`, cause);
  }
}
