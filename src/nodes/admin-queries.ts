/** What the library asks a server beside where it stands: what it shows, what still runs there, and to flush its log. */

import type { QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import { InvalidAnswer } from '../postgres/errors.js';
import {
  BACKEND_ALIVE,
  BACKENDS_RUNNING,
  CANCEL_BACKEND,
  COMMITTED_AMONG,
  nudge,
  OLDER_WORK,
  SNAPSHOT,
} from '../postgres/own-statements.js';
import type { ControlConnection } from './control-connection.js';
import type { Identity } from './observation.js';

/** Which transactions a server shows. */
export interface TransactionSnapshot {
  /** Above the newest transaction that has finished there. */
  readonly next: bigint;
  /** Those below it that have not; a replica lists none. */
  readonly unfinished: readonly string[];
}

const NUDGE_SPACING_MILLIS = 5;

export class AdminQueries {
  readonly #control: ControlConnection;
  #nudgedAt = Number.NEGATIVE_INFINITY;
  /** Nudges that made this server write. */
  nudgeCount = 0;

  constructor(control: ControlConnection) {
    this.#control = control;
  }

  /** Makes a primary flush its log up to `lsn` if it has not. At most one in 5 ms for all callers. @param version `server_version_num` */
  async nudge(lsn: Lsn, version: number): Promise<void> {
    const now = performance.now();
    if (now - this.#nudgedAt < NUDGE_SPACING_MILLIS) return;
    this.#nudgedAt = now;
    const { rows } = await this.#control.query(nudge(formatLsn(lsn), version));
    this.nudgeCount += rows.length;
  }

  /** Somebody else's question. Rejects with the server's error, or when it does not answer. */
  async ask<Row>(text: string): Promise<Row[]> {
    const { rows } = await this.#control.holding(this.#control.query<Row & QueryResultRow>(text));
    return rows;
  }

  /**
   * A question in the background: it keeps no process alive. Rejects with the server's error, or when it
   * does not answer.
   * @param name it is asked time and again
   * @returns with who has answered
   */
  async look<Row>(
    text: string,
    values: unknown[] | undefined,
    name: string,
  ): Promise<{ readonly rows: readonly Row[]; readonly identity: Identity }> {
    return this.#control.query<Row & QueryResultRow>(text, values, name);
  }

  /** Which transactions the server shows. Rejects when it does not say. */
  async snapshot(): Promise<TransactionSnapshot> {
    const { rows } = await this.#control.holding(this.#control.query<{ next: unknown; unfinished: unknown }>(SNAPSHOT));
    const { next, unfinished } = rows[0] ?? {};
    if (!isXid(next) || !Array.isArray(unfinished) || !unfinished.every(isXid))
      throw new InvalidAnswer('the snapshot is none');
    return { next: BigInt(next), unfinished };
  }

  /** Those of the given transactions that this replica shows as committed. Rejects when it does not say. */
  async committedAmong(xids: readonly string[]): Promise<string[]> {
    const { rows } = await this.#control.holding(this.#control.query<{ xid: string }>(COMMITTED_AMONG, [xids]));
    return rows.map(({ xid }) => xid);
  }

  /** Asks the server to stop what that backend is running; it may have ended by itself. */
  cancel(pid: number): void {
    this.#control.query(CANCEL_BACKEND, [pid]).catch(() => undefined);
  }

  /** Those of the given backends that run something, and whether each waits for its client to take what it sends. Rejects when the server does not say. */
  async running(pids: readonly number[]): Promise<ReadonlyMap<number, boolean>> {
    const { rows } = await this.#control.query<{ pid: number; is_sending: boolean }>(BACKENDS_RUNNING, [pids]);
    return new Map(rows.map(({ pid, is_sending }) => [pid, is_sending]));
  }

  /**
   * How to ask whether what that backend was running is over; what it gives rejects when the server does not say.
   * @param isDirect whether the backend's process id is known: behind a pooler any of them may be it, so all transactions of the role count that are under way
   */
  whetherOver({ pid, server }: Identity, isDirect: boolean): () => Promise<boolean> {
    if (!isDirect) return this.whetherAllOver(server);
    return async () => {
      const { rows, identity } = await this.#control.query(BACKEND_ALIVE, [pid]);
      return rows.length === 0 || identity.server !== server;
    };
  }

  /** How to ask whether nothing of this role goes on any more that did when that was first asked. @param server in that life of the server */
  whetherAllOver(server?: string): () => Promise<boolean> {
    let since: string | null = null;
    return async () => {
      const { rows, identity } = await this.#control.query<{ now: string; goes_on: boolean | null }>(OLDER_WORK, [
        since,
      ]);
      since ??= rows[0]?.now ?? null;
      return rows[0]?.goes_on === false || (server !== undefined && identity.server !== server);
    };
  }
}

/** The length comes first: a server may answer text of any size. */
function isXid(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 20 && /^[0-9]+$/.test(value);
}
