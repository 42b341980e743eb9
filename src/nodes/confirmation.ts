/**
 * Asks a server that claims to be the primary for its word a second time, on a connection opened for that: one that is reached by way of a proxy, or makes its answers up, need not
 * say the same again. What follows from that is decided elsewhere.
 */

import type { Pool } from 'pg';
import { performance } from '../clock.js';
import type { Settings } from '../options/cluster.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { PROBE } from '../postgres/own-statements.js';
import { ControlConnection } from './control-connection.js';
import { type Observation, observationFrom, type ProbeRow } from './observation.js';

const RETRY_MILLIS = 50;
const TOO_MANY_CONNECTIONS = '53300';

/** Who is told how it went. */
export interface ConfirmationListener {
  confirmed(): void;
  /** It says something else there, or another server answers. */
  contradicted(): void;
}

export class Confirmation {
  readonly #pool: Pool;
  readonly #settings: Settings;
  readonly #listener: ConfirmationListener;
  #connection: ControlConnection | undefined;
  #claim: string | undefined;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;

  constructor(pool: Pool, settings: Settings, listener: ConfirmationListener) {
    this.#pool = pool;
    this.#settings = settings;
    this.#listener = listener;
  }

  /** Whether that is what it has said twice. */
  isOf(claim: Observation): boolean {
    return this.#claim !== undefined && this.#claim === keyOf(claim);
  }

  /** Asks, unless it does already, or has just been disappointed. */
  ask(claim: Observation, now: number): void {
    if (this.#connection !== undefined || now < this.#retryAt) return;
    const connection = new ControlConnection(this.#pool, this.#settings.hangMillis, () => undefined);
    this.#connection = connection;
    void this.#saysAgain(connection, claim).then((answer) => {
      this.#connection = undefined;
      this.#failures = answer === 'same' ? 0 : this.#failures + 1;
      this.#retryAt = performance.now() + (answer === 'same' ? 0 : this.#pauseMillis);
      if (answer === 'same') {
        this.#claim = keyOf(claim);
        this.#listener.confirmed();
      } else if (answer === 'other') this.#listener.contradicted();
    });
  }

  /** Nobody wants to know any more. */
  async close(): Promise<void> {
    await this.#connection?.close();
  }

  get #pauseMillis(): number {
    return Math.min(RETRY_MILLIS * 2 ** Math.min(this.#failures, 10), this.#settings.idleProbeMillis);
  }

  async #saysAgain(connection: ControlConnection, claim: Observation): Promise<'same' | 'other' | 'none'> {
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
