/** Rows one after the other, placed like a read. Run again elsewhere only while no row has been handed out. */
import { performance } from '../clock.js';
import { invalidOptions, wordFor } from '../errors.js';
import { throwAway } from '../nodes/data-connection.js';
import { isOnlyForPrimary } from '../postgres/errors.js';
import { COMMIT } from '../postgres/own-statements.js';
import type { Sent } from './attempt.js';
import { failedOn } from './connection-state.js';
import { giveBack } from './give-back.js';
import { place } from './place.js';
import { adviceOn, begunOnPrimary, remember } from './read-on-primary.js';
import type { Request } from './request.js';
import { lostAgain } from './rerun.js';

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

/** What is streamed. */
export interface StreamOf {
  readonly text: string;
  readonly values: unknown[] | undefined;
  readonly batchRows: number;
}

export async function* stream<Row>(
  request: Request,
  { text, values, batchRows }: StreamOf,
): AsyncGenerator<Row, void, void> {
  const { context, target, signal } = request;
  const QueryStream = await load();
  context.fleet.selection.recordUse(request, performance.now());
  const profile = context.eligibility.recordUse(text);
  let isForPrimary = target === undefined && profile?.isForPrimary(performance.now()) === true;
  let wasRefused = false;
  for (;;) {
    // It throws at values that pg cannot write: before there is a connection to give back.
    const rows = new QueryStream(text, values, { highWaterMark: batchRows });
    const { attempt, connection } = isForPrimary ? await begunOnPrimary(request) : await place(request);
    const { client } = connection;
    // It would wait for the server to close its cursor, which one that is lost never does; the connection of a stream that has not ended well is closed anyway.
    rows._destroy = (error, done) => done(error);
    const cancel = (): void => {
      attempt.node.connections.cancel(connection);
      rows.destroy(signal?.reason);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    // pg-cursor tells of no loss once the server has said that it was done.
    const lost = (): void => rows.destroy(new Error('Connection terminated unexpectedly'));
    client.once('end', lost);
    let rowCount = 0;
    let isWhole = false;
    let failure: unknown = null;
    let sent: Sent | undefined;
    try {
      sent = attempt.begin(rows);
      // It may have been given up while its connection was waited for.
      signal?.throwIfAborted();
      connection.sourceWatch?.runs(text);
      client.query(rows);
      for await (const row of rows) {
        signal?.throwIfAborted();
        rowCount++;
        yield row as Row;
      }
      if (isForPrimary) await attempt.ask(connection, COMMIT);
      isWhole = true;
      if (wasRefused) remember(context, text, profile);
      return;
    } catch (error) {
      failure = error;
      signal?.throwIfAborted();
      if (rowCount > 0) throw error;
      await new Promise<void>((resolve) => failedOn(connection, error, resolve));
      const isRefused = attempt.node.role === 'replica' && isOnlyForPrimary(error);
      if (isRefused && target === undefined && !connection.isLost) {
        attempt.abandoned();
        isForPrimary = true;
        wasRefused = true;
        continue;
      }
      if (!(await lostAgain(attempt, connection, error))) throw adviceOn(error, attempt.node);
      attempt.abandoned();
    } finally {
      attempt.end(sent, failure as Error | null, isWhole ? rowCount : null);
      signal?.removeEventListener('abort', cancel);
      client.removeListener('end', lost);
      // A stream that was left early has rows under way: its connection serves no other call.
      const isSound = isWhole && !connection.wasCancelled;
      const refusal = isSound ? giveBack(attempt, connection, text) : undefined;
      if (!isSound) throwAway(connection);
      attempt.leave(connection.identity.server);
      if (refusal !== undefined) await refusal;
    }
  }
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
