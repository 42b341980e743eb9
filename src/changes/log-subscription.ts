/**
 * Reads the log for one listener, over and over: finds the server, connects, makes a slot and looks
 * what the publication tells. What the log then says, the stream tells.
 */
import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { inBackground } from '../async-context.js';
import type { ChangeHandler } from '../change-source.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { abortable } from '../deadline.js';
import { parseLsn } from '../freshness/lsn.js';
import { begin, COMMIT } from '../postgres/own-statements.js';
import { AbortController, allowMany } from '../signals.js';
import { LogStream, SILENCE_MILLIS } from './log-stream.js';
import { PUBLICATION } from './names.js';
import { Publication, type PublicationRow, publicationQuery } from './publication.js';
import { ReplicationConnection } from './replication-connection.js';
import { SourceFault, wordsFor } from './source-fault.js';
import type { LogicalSourceOptions, SourceGround, SourceNode } from './source-ground.js';
import {
  LOG_STANDBY_SNAPSHOT,
  lockHolder,
  quotedName,
  SERVER,
  type ServerRow,
  sessionSettings,
  takeLock,
  UNFINISHED,
  WATCH_CLIENT,
  WRITE_SOMETHING,
} from './source-statements.js';

/** Another try after a failure: at first soon, then less often. */
const [FIRST_RETRY_MILLIS, LAST_RETRY_MILLIS] = [100, 2_000];
/** While another process has the lock. */
const LOCKED_RETRY_MILLIS = 1_000;
const ANSWER_MILLIS = 5_000;
/** A slot is made when all that was under way has ended: after so long, that is said. */
const SLOT_PATIENCE_MILLIS = 2_000;
/** After so long it is tried anew: on the primary's end nothing tells whether the wait is in vain. */
const SLOT_MILLIS = 30_000;
/** What is still open after that, a standby would have to wait for without end. */
const OLD_MILLIS = 1_000;
const WATCH_MILLIS = 250;
/** While the primary is not known yet: after so long, that is a fault. */
const SETTLE_MILLIS = 3_000;

const LOCKED = 'another process reads the log';
const WAITS_FOR_SLOT = 'the server makes no slot as long as a transaction goes on that was open before';

export class LogSubscription {
  readonly #ground: SourceGround;
  readonly #options: LogicalSourceOptions;
  readonly #handler: ChangeHandler;
  readonly #running: Promise<void>;
  readonly #closing = new AbortController();
  #isClosed = false;
  #connection: ReplicationConnection | undefined;
  #stream: LogStream | undefined;
  #hasBegun = false;
  #hasLock = false;
  /** Whether definitions have changed since a slot was asked for. */
  #areDefinitionsNew = false;
  #told: string | undefined;
  #wake: () => void = () => undefined;

  constructor(ground: SourceGround, options: LogicalSourceOptions, handler: ChangeHandler) {
    this.#ground = ground;
    this.#options = options;
    this.#handler = handler;
    allowMany(this.#closing.signal);
    this.#running = inBackground(() => this.#run());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stream?.stop();
    this.#wake();
    this.#closing.abort();
    await this.#connection?.close();
    await this.#running;
  }

  async definitionsChanged(): Promise<void> {
    this.#areDefinitionsNew = true;
    await this.#stream?.definitionsChanged();
  }

  async #run(): Promise<void> {
    // Nothing is told before `subscribe` has returned.
    await Promise.resolve();
    for (let failureCount = 0; !this.#isClosed; failureCount++) {
      this.#hasBegun = false;
      const fault = await this.#once();
      if (this.#hasBegun) failureCount = 0;
      this.#broken(wordsFor(fault));
      await this.#pause(wordsFor(fault) === LOCKED ? LOCKED_RETRY_MILLIS : backoff(failureCount));
    }
  }

  /** Reads the log as long as it can. @returns what went wrong */
  async #once(): Promise<unknown> {
    let fault: unknown;
    try {
      const node = await this.#node();
      const { epoch } = this.#ground.history;
      await this.#checkLock(node);
      const connection = await this.#opened(node.pool);
      this.#connection = connection;
      fault = await this.#tell(node, connection, () => !this.#isClosed && epoch === this.#ground.history.epoch);
    } catch (error) {
      fault = error;
    }
    this.#stream?.stop();
    this.#stream = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    if (fault instanceof SourceFault && fault.isSilence) connection?.drop();
    else await connection?.close();
    this.#setLock(false);
    return fault;
  }

  /** The server that is to be read. */
  async #node(): Promise<SourceNode> {
    const since = performance.now();
    const { node: name } = this.#options;
    for (;;) {
      const { history, leadership, nodes, primary } = this.#ground;
      const node = name === undefined ? primary : nodes.find((one) => one.name === name);
      if (leadership.isSettled && history.clusterId !== undefined && node !== undefined) return node;
      if (this.#isClosed || performance.now() - since > SETTLE_MILLIS)
        throw new SourceFault(node === undefined ? 'the node that is to be read is not there' : 'no primary is known');
      await this.#pause(WATCH_MILLIS / 5);
    }
  }

  /** A connection for replication is dear: none is opened while another process has the lock. */
  async #checkLock(node: SourceNode): Promise<void> {
    const { lock } = this.#options;
    if (lock === undefined) return;
    const rows = await this.#unlessClosed(node.adminQueries.ask(lockHolder(lock)));
    if (rows.length > 0) throw new SourceFault(LOCKED);
  }

  async #opened(pool: Pool): Promise<ReplicationConnection> {
    const opening = ReplicationConnection.open(pool, ANSWER_MILLIS);
    // Where it comes too late for us, it must be ended here.
    opening.then(
      (connection) => (this.#isClosed ? connection.close() : undefined),
      () => undefined,
    );
    return this.#unlessClosed(opening);
  }

  /** Nothing is waited for any longer when it is closed. */
  #unlessClosed<T>(answer: Promise<T>): Promise<T> {
    return abortable(answer, this.#closing.signal);
  }

  async #tell(node: SourceNode, connection: ReplicationConnection, isSame: () => boolean): Promise<unknown> {
    const { publication: name = PUBLICATION, lock } = this.#options;
    await connection.ask(sessionSettings(SILENCE_MILLIS));
    // Not on every system can a server see that its client has gone.
    await connection.ask(WATCH_CLIENT).catch(() => undefined);
    const { timeline, version, isStandby } = await this.#identify(connection);
    if (lock !== undefined) {
      const [row] = await connection.ask<{ is_held?: unknown }>(takeLock(lock));
      if (row?.is_held !== true) throw new SourceFault(LOCKED);
      this.#setLock(true);
    }
    if (isStandby) await this.#awaitOld();
    this.#areDefinitionsNew = false;
    const slot = `pg_ladder_${randomBytes(8).toString('hex')}`;
    await connection.ask(begin('isolation level repeatable read', 'read only'));
    const start = await this.#createSlot(connection, slot, isStandby, isSame);
    // By the very snapshot at which the log begins: nothing lies between.
    const query = publicationQuery(name, version);
    const [row] = await connection.ask<PublicationRow>(query);
    const publication = new Publication(row);
    if (publication.problem !== undefined) throw new SourceFault(publication.problem);
    await connection.ask(COMMIT);
    if (!isSame()) throw new SourceFault('the primary is another one, or was started anew');
    const stream = new LogStream(
      {
        handler: this.#handler,
        timeline,
        isSame,
        report: (processed, asks) => connection.report(processed, asks),
        read: async () => new Publication((await node.adminQueries.ask<PublicationRow>(query))[0]),
      },
      publication,
      start,
    );
    this.#stream = stream;
    this.#hasBegun = true;
    this.#told = undefined;
    const ended = connection.stream(
      `START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names ${quotedName(name)}, messages 'true')`,
      stream,
    );
    stream.start();
    if (this.#areDefinitionsNew) void stream.definitionsChanged();
    return Promise.race([ended, stream.failed]);
  }

  /** Who answers. @throws SourceFault unless it is of this cluster, on its timeline, and in its role */
  async #identify(connection: ReplicationConnection) {
    const [system] = await connection.ask<{ systemid?: unknown; timeline?: unknown }>('IDENTIFY_SYSTEM');
    const [where] = await connection.ask<ServerRow>(SERVER);
    const { clusterId, timelines } = this.#ground.history;
    const timeline = Number(system?.timeline);
    if (system?.systemid !== clusterId) throw new SourceFault('the server belongs to another cluster');
    if (timeline !== timelines.timeline) throw new SourceFault('the server is on another timeline than the primary');
    const isStandby = where?.in_recovery === true;
    if (isStandby && this.#options.node === undefined) throw new SourceFault('the server is not the primary any more');
    const version = Number(where?.version);
    if (isStandby && version < 160_000) throw new SourceFault('a replica before PostgreSQL 16 does not tell its log');
    if (isStandby && where.feedback !== 'on')
      throw new SourceFault('hot_standby_feedback is off on the replica that is to be read: its slot would be lost');
    return { timeline, version, isStandby };
  }

  /** A standby cannot be stopped while it waits for a transaction of the primary: it is not asked to. */
  async #awaitOld(): Promise<void> {
    const before = await this.#unfinished();
    if (before.length === 0) return;
    await this.#pause(OLD_MILLIS);
    const after = new Set(await this.#unfinished());
    if (before.some((xid) => after.has(xid)))
      throw new SourceFault('a transaction that stays open on the primary keeps the replica from making a slot');
  }

  /** Transactions of the primary that have written, and not ended. */
  async #unfinished(): Promise<unknown[]> {
    const rows = await this.#unlessClosed(this.#ground.primary.adminQueries.ask<{ xid: unknown }>(UNFINISHED));
    return rows.map(({ xid }) => xid);
  }

  /** @returns from where on the log is told */
  async #createSlot(connection: ReplicationConnection, slot: string, isStandby: boolean, isSame: () => boolean) {
    const text = `CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput USE_SNAPSHOT`;
    const made = connection.ask<{ consistent_point?: unknown }>(text, undefined);
    made.catch(() => undefined);
    const begunAt = performance.now();
    for (;;) {
      const rows = await Promise.race([made, this.#pause(WATCH_MILLIS)]);
      if (rows !== undefined) {
        const start = parseLsn(String(rows[0]?.consistent_point));
        if (start === undefined) throw new SourceFault('the server tells no position');
        return start;
      }
      const millis = performance.now() - begunAt;
      if (!isSame() || !this.#ground.leadership.isSettled) throw new SourceFault('the primary is another one');
      if (millis > SLOT_MILLIS) throw new SourceFault(WAITS_FOR_SLOT);
      if (millis > SLOT_PATIENCE_MILLIS) this.#broken(WAITS_FOR_SLOT);
      if (isStandby) await this.#wakeStandby();
    }
  }

  /** A standby waits for the primary to tell what is under way, which an idle one does not do by itself. */
  async #wakeStandby(): Promise<void> {
    const { adminQueries } = this.#ground.primary;
    await adminQueries
      .ask(LOG_STANDBY_SNAPSHOT)
      .catch(() => adminQueries.ask(WRITE_SOMETHING))
      .catch(() => undefined);
  }

  #setLock(isHeld: boolean): void {
    if (isHeld === this.#hasLock) return;
    this.#hasLock = isHeld;
    this.#options.onLock?.(isHeld);
  }

  /** Once for each reason. */
  #broken(reason: string): void {
    if (this.#isClosed || reason === this.#told) return;
    this.#told = reason;
    this.#handler.broken(reason);
  }

  #pause(millis: number): Promise<undefined> {
    if (this.#isClosed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, millis);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }
}

/** With jitter, so that the processes of a cluster do not all come at once. */
function backoff(failureCount: number): number {
  return Math.min(FIRST_RETRY_MILLIS * 2 ** failureCount, LAST_RETRY_MILLIS) * (0.5 + Math.random() / 2);
}
