/** What the library asks a server beside where it stands: what it shows, what still runs there, and to flush its log. */
import type { QueryResultRow } from 'pg';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import type { ControlConnection } from './control-connection.js';
import { BACKEND_ALIVE, CANCEL_BACKEND, COMMITTED_AMONG, nudge, SNAPSHOT } from './statements.js';

/** Which transactions a server shows. */
export interface TransactionSnapshot {
  /** Above the newest transaction that has finished there. */
  readonly next: bigint;
  /** Those below it that have not; a replica lists none. */
  readonly unfinished: readonly string[];
}

const NUDGE_SPACING_MILLIS = 5;

export class Questions {
  readonly #control: ControlConnection;
  #nudgedAt = Number.NEGATIVE_INFINITY;
  /** Nudges that made this server write. */
  nudgeCount = 0;

  constructor(control: ControlConnection) {
    this.#control = control;
  }

  /** Makes a primary flush its log up to `lsn` if it has not. At most one in 5 ms, whoever asks. @param version `server_version_num` */
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

  /** Which transactions the server shows. Rejects when it does not say. */
  async snapshot(): Promise<TransactionSnapshot> {
    const { rows } = await this.#control.holding(this.#control.query<{ next: string; unfinished: string[] }>(SNAPSHOT));
    const [{ next, unfinished } = { next: '0', unfinished: [] }] = rows;
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

  /** Whether that life of the server still has the backend with that process id. Rejects when it does not say. */
  async hasBackend(pid: number, server: string): Promise<boolean> {
    const { rows, identity } = await this.#control.query(BACKEND_ALIVE, [pid]);
    return rows.length > 0 && identity.server === server;
  }
}
