/** What is known of one connection that carries users' statements. Those who run a statement there keep it up to date. */
import type { PoolClient } from 'pg';
import type { PositionRider } from '../postgres/position-rider.js';
import type { StatementNames } from '../postgres/statement-names.js';
import type { ReadStatus } from '../postgres/transaction-status.js';
import type { AnswerSource } from './answer-source.js';
import type { Identity } from './observation.js';
import type { SourceWatch } from './source-watch.js';

/** A connection checked out of a node's pool, and who answers on it. */
export interface DataConnection {
  readonly client: PoolClient;
  readonly identity: Identity;
  /** Whether no pooler stands between. Then its process id names one server process for its whole life. */
  readonly isDirect: boolean;
  /** See {@link Identified.isRelaxed}. Its server was a standby then. After a promotion, writes need a connection with the user's own settings. */
  readonly isRelaxed: boolean;
  /** Whether its server, a standby, refuses SERIALIZABLE statements here. It is replaced before it serves again. */
  isRefusing: boolean;
  /** Whether it is in a transaction. */
  readonly status: ReadStatus;
  /** The pending cancel request; await it before closing. */
  cancelling: Promise<void> | undefined;
  /** Whether a cancel request was sent for it. That may arrive late, and hit the next statement. */
  wasCancelled: boolean;
  /** Whether what runs on it may write. Such a statement is not cut off while its server may still answer. */
  mayWrite: boolean;
  /** Whether it went away under its last statement, so that the outcome is unknown. */
  isLost: boolean;
  /** Whether a failed statement may have closed it. If it ends now, that statement's error says so. */
  isFailing: boolean;
  /** Why it was lost while idle. A transaction that was open there is rolled back. */
  idleLoss: unknown;
  /** Whether the library closed it because it was silent. That says nothing of its server or of the statement. */
  wasGivenUp: boolean;
  /** Whether the library closed it because its server did not answer. */
  wasAbandoned: boolean;
  /** Whether the library checked it out, and not the pool's owner. */
  isTaken: boolean;
  /** The statements it has prepared; `undefined` where it must prepare none. */
  readonly names: StatementNames | undefined;
  /** Asks where the log ends, behind a statement; `undefined` where it must not. */
  readonly rider: PositionRider | undefined;
  /** By what its answers are written; `undefined` where it is not wanted. */
  readonly source: AnswerSource | undefined;
  /** What keeps `source` up to date. */
  readonly sourceWatch: SourceWatch | undefined;
}

/** Closes a connection in an unknown state. A pending cancel request is sent first. */
export function throwAway({ client, cancelling }: DataConnection): void {
  if (cancelling === undefined) client.release(true);
  else void cancelling.finally(() => client.release(true));
}
