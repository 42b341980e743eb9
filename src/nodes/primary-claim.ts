/**
 * What speaks against a server's claim that it is the primary, and whether it repeats the claim on a second connection.
 * A server behind a proxy, or one that makes its answers up, need not. What follows is decided by the election.
 */

import type { Pool } from 'pg';
import { performance } from '../clock.js';
import type { Settings } from '../options/cluster.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { PROBE } from '../postgres/own-statements.js';
import { ControlConnection } from './control-connection.js';
import { type Observation, observationFrom, type ProbeRow } from './observation.js';
import type { ReplicaPosition } from './replica-position.js';

const RETRY_MILLIS = 50;
const TOO_MANY_CONNECTIONS = '53300';

/** What the node does about the second answer. */
export interface ClaimListener {
  onConfirmed(): void;
  /** It says something else there, or another server answers. */
  onContradicted(): void;
}

export class PrimaryClaim {
  /** Why its claim to take writes is not believed; `undefined` when it is, or makes no such claim. */
  doubt: string | undefined;
  /** Whether a second connection must confirm the claim before it counts. */
  needsConfirmation = false;
  readonly #position: ReplicaPosition;
  readonly #pool: Pool;
  readonly #settings: Settings;
  readonly #listener: ClaimListener;
  #connection: ControlConnection | undefined;
  /** What it has said twice. */
  #confirmed: string | undefined;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;

  constructor(position: ReplicaPosition, pool: Pool, settings: Settings, listener: ClaimListener) {
    this.#position = position;
    this.#pool = pool;
    this.#settings = settings;
    this.#listener = listener;
  }

  /** Whether it has said so on a second connection, too, or need not. */
  get isConfirmed(): boolean {
    if (!this.needsConfirmation) return true;
    const { observation } = this.#position;
    return observation !== undefined && this.#confirmed !== undefined && this.#confirmed === keyOf(observation);
  }

  /** Asks on a second connection, unless one is asked already or has just failed. Tells the listener when the answer is the same. */
  confirm(): void {
    const claim = this.#position.observation;
    if (claim === undefined || this.#connection !== undefined || performance.now() < this.#retryAt) return;
    const connection = new ControlConnection(this.#pool, this.#settings.hangMillis, () => undefined);
    this.#connection = connection;
    void this.#askAgain(connection, claim).then((answer) => {
      this.#connection = undefined;
      this.#failures = answer === 'same' ? 0 : this.#failures + 1;
      this.#retryAt = performance.now() + (answer === 'same' ? 0 : this.#pauseMillis);
      if (answer === 'same') {
        this.#confirmed = keyOf(claim);
        this.#listener.onConfirmed();
      } else if (answer === 'other') this.#listener.onContradicted();
    });
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  get #pauseMillis(): number {
    return Math.min(RETRY_MILLIS * 2 ** Math.min(this.#failures, 10), this.#settings.idleProbeMillis);
  }

  async #askAgain(connection: ControlConnection, claim: Observation): Promise<'same' | 'other' | 'none'> {
    const { assumeSynchronousCommit } = this.#settings;
    try {
      const { rows, identity } = await connection.query<ProbeRow>(PROBE);
      const again = observationFrom(rows[0], identity, performance.now(), 0, assumeSynchronousCommit);
      const isSame = again !== undefined && keyOf(again) === keyOf(claim) && again.lsn >= claim.lsn;
      return isSame ? 'same' : 'other';
    } catch (error) {
      if (error instanceof InvalidAnswer) return 'other';
      // It is alive and full: that says nothing against it.
      return (error as { code?: unknown }).code === TOO_MANY_CONNECTIONS ? 'same' : 'none';
    } finally {
      void connection.close();
    }
  }
}

function keyOf({ identity, inRecovery, timeline, forkLsn }: Observation): string {
  return `${identity.server} ${inRecovery} ${timeline} ${forkLsn}`;
}
