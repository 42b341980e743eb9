/**
 * Asks a replica which timeline it replays, over a connection for replication: PostgreSQL tells that to each role that
 * may replicate, and hides it from others without `pg_read_all_stats`. It asks seldom, and says nothing where it is
 * refused.
 */
import type { Client, Pool } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { within } from '../deadline.js';
import { NoAnswer } from '../postgres/errors.js';
import { dropSocket } from '../postgres/internals.js';
import { openOwn } from '../postgres/open-own.js';
import { question } from '../postgres/plain-types.js';
import { identify } from './identify.js';
import { shownTimelineFrom } from './observation.js';
import type { ReplicaPosition } from './replica-position.js';

const AGAIN_MILLIS = 500;
/** Where it was refused, or did not answer. */
const REFUSED_MILLIS = 30_000;
const ANSWER_MILLIS = 5_000;

export class ReplayedTimeline {
  readonly #pool: Pool;
  readonly #position: ReplicaPosition;
  #dueAt = Number.NEGATIVE_INFINITY;
  #isAsking = false;

  /** @param position learns what is told */
  constructor(pool: Pool, position: ReplicaPosition) {
    this.#pool = pool;
    this.#position = position;
  }

  /** Nobody waits for the answer. */
  ask(): void {
    if (this.#isAsking || performance.now() < this.#dueAt) return;
    this.#isAsking = true;
    void inBackground(() => this.#ask());
  }

  async #ask(): Promise<void> {
    let pauseMillis = AGAIN_MILLIS;
    try {
      const config = { replication: 'database' };
      const client = await openOwn(this.#pool, { kind: 'control', config, boundMillis: ANSWER_MILLIS }, silenced);
      try {
        const { timeline, server } = await within(answer(client), ANSWER_MILLIS, () => new NoAnswer('no answer'), true);
        // It counts if that connection led to the same server, in the same of its lives.
        if (this.#position.observation?.identity.server === server) this.#position.shownTimeline = timeline;
      } finally {
        client.end().catch(() => undefined);
        dropSocket(client);
      }
    } catch {
      pauseMillis = REFUSED_MILLIS;
    }
    this.#isAsking = false;
    this.#dueAt = performance.now() + pauseMillis;
  }
}

function silenced(client: Client): Client {
  return client.on('error', () => undefined);
}

async function answer(client: Client): Promise<{ timeline: number; server: string }> {
  const { identity } = await identify(client, false);
  const { rows } = await client.query<{ timeline?: unknown }>(question('IDENTIFY_SYSTEM'));
  return { timeline: shownTimelineFrom({ timeline: Number(rows[0]?.timeline) }), server: identity.server };
}
