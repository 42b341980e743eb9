/**
 * Which of a node's connections may be dead without a sign of it, and what becomes of them: a write first tries its
 * own, the others are given up once the server does not run their statement any more. It hands no connection out.
 */
import type { PoolClient } from 'pg';
import { inBackground } from '../async-context.js';
import { clearTimeout, setImmediate, setTimeout } from '../clock.js';
import { isBusy } from '../postgres/internals.js';
import { IDENTITY } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import type { DataConnection } from './data-connection.js';
import type { KnownConnections } from './known-connections.js';
import { type Inquiry, type Suspect, Suspects } from './suspects.js';

/** How often a write's backend may be found idle, a second apart, before the write is given up. */
const WRITE_PATIENCE_COUNT = 2;

export class SuspectConnections {
  readonly #known: KnownConnections;
  readonly #hangMillis: number;
  readonly #suspects = new Suspects();
  #isElsewhere = false;

  /** @param hangMillis a connection that gives no answer for so long is dead */
  constructor(known: KnownConnections, hangMillis: number) {
    this.#known = known;
    this.#hangMillis = hangMillis;
  }

  get count(): number {
    return this.#suspects.count;
  }

  /** Call it after a pause: each open connection is checked before it is used again. */
  suspectAll(): void {
    this.#suspects.add(this.#known.all);
  }

  /** Whether a connection may be dead without a sign of it. */
  has(client: object): boolean {
    return this.#suspects.count > 0 && this.#suspects.has(client);
  }

  /** One round trip, once after each pause. Rejects when the connection is dead; idle suspects are given up with it. */
  async prove({ client }: DataConnection): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => setImmediate(() => reject(new Error('no answer'))), this.#hangMillis);
    });
    try {
      await Promise.race([inBackground(() => client.query(question(IDENTITY))), silence]);
      this.#suspects.delete(client);
    } catch (error) {
      this.#giveUp(client);
      client.release(true);
      this.#giveUpIdle();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The server answers again: connections on which it does not are given up.
   * @param isElsewhere whether it was silent on an old connection, and answers on a new one: idle ones are no better then
   */
  investigate(inquiry: Inquiry, isElsewhere: boolean): void {
    this.#isElsewhere = isElsewhere;
    void this.#suspects
      .investigate(inquiry, {
        describe: (client) => this.#describe(client as PoolClient),
        giveUp: (client) => this.#giveUp(client as PoolClient),
        isUrgent: isElsewhere,
      })
      .catch(() => undefined);
  }

  /** Gives up those that carry neither a write nor a user's own connection. The others are looked at more closely. */
  giveUpReplaceable(): void {
    for (const client of this.#known.all) {
      if (this.#known.isGuest(client) || !this.has(client)) continue;
      const connection = this.#known.get(client);
      const isUnknown = connection === undefined;
      // Behind a pooler the process id does not show whether a read still runs; a read can be run again.
      if (isUnknown || (!connection.isDirect && !connection.mayWrite)) this.#giveUp(client);
    }
    this.#giveUpIdle();
  }

  close(): void {
    this.#suspects.close();
  }

  #giveUpIdle(): void {
    for (const client of this.#known.idle) if (this.has(client)) this.#giveUp(client);
  }

  #giveUp(client: PoolClient): void {
    this.#suspects.delete(client);
    this.#known.giveUp(client);
  }

  #describe(client: PoolClient): Suspect | undefined {
    const connection = this.#known.get(client);
    if (connection === undefined || !isBusy(client)) return undefined;
    const { mayWrite, isDirect, identity } = connection;
    const patience = mayWrite ? WRITE_PATIENCE_COUNT : this.#isElsewhere ? 0 : 1;
    return { client, pid: isDirect ? identity.pid : undefined, mayPause: mayWrite, patience };
  }
}
