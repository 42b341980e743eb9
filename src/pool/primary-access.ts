/**
 * A client's access to the primary: its own connection there, opened when a statement first needs it, and whether all
 * statements have to go there from now on. Which statement goes there is decided by the router.
 */
import type { Entry } from '../execute/gate.js';
import type { Expiry } from '../isolation/watched-connection.js';
import { type Answer, type Submittable, textOf } from '../postgres/arguments.js';
import type { SessionScope } from '../session/scope.js';
import type { Classification } from '../statements/classifier.js';
import type { ClientHost } from './access.js';
import type { Job } from './job.js';
import type { PrimaryClient } from './primary-client.js';
import { type Finding, PrimaryConnection } from './primary-connection.js';
import type { StatementQueue } from './statement-queue.js';

/** A cursor, a stream or another object that pg runs by itself: it answers to its user, and not to the library. */
export interface Submission {
  readonly submittable: Submittable;
  readonly callback: Answer | undefined;
  readonly scope: SessionScope;
  readonly entry: Entry;
}

export class PrimaryAccess {
  /** Whether all statements go to the connection. */
  isBound = false;
  readonly #host: ClientHost;
  readonly #client: PrimaryClient;
  readonly #queue: StatementQueue;
  readonly #onOpen: () => void;
  readonly #onExpired: (expiry: Expiry) => void;
  #connection: PrimaryConnection | undefined;

  /** @param on called when a connection to the primary has been opened, and when it was closed for a transaction that was open for too long */
  constructor(
    host: ClientHost,
    client: PrimaryClient,
    queue: StatementQueue,
    on: { readonly open: () => void; readonly expired: (expiry: Expiry) => void },
  ) {
    this.#host = host;
    this.#client = client;
    this.#queue = queue;
    this.#onOpen = on.open;
    this.#onExpired = on.expired;
  }

  get connection(): PrimaryConnection | undefined {
    return this.#connection;
  }

  /** Whether later statements go by what was left on the connection, or belong there anyway. */
  get isRequired(): boolean {
    return this.isBound || this.#connection?.holdsState === true;
  }

  /** Opens a connection to whichever server is the primary, and closes the one before. @param isSetUpByPool as pg-pool does with what it connects itself */
  async open(isSetUpByPool = false): Promise<PrimaryConnection> {
    const { cluster } = this.#host;
    if (this.#connection !== undefined) void this.#connection.client.end().catch(() => undefined);
    this.#connection = undefined;
    let connection: PrimaryConnection;
    try {
      connection = await PrimaryConnection.open(cluster, (node) => this.#client.at(node), this.#onExpired);
    } catch (error) {
      this.#queue.refuse(error);
      throw error;
    }
    this.#connection = connection;
    this.isBound = true;
    this.#onOpen();
    if (!isSetUpByPool) await this.#host.opened(connection.client);
    return connection;
  }

  /** The next user of the client does not depend on what was left on a connection to a former primary. */
  forgetState(): void {
    this.isBound = false;
    this.#connection?.forgetState();
  }

  /** Sends a statement. @param learns whether later statements depend on what this one does */
  send(connection: PrimaryConnection, job: Job, learns: boolean, found?: Classification): void {
    const finding: Finding = { found, learns };
    const text = textOf(job.query);
    if (finding.found === undefined && learns && text !== undefined) {
      const { cluster } = this.#host;
      finding.found = cluster.known(text);
      // It is known long before the server has answered. An invalid hint does not matter here.
      if (finding.found === undefined) {
        cluster.classify(text).then(
          (known) => {
            finding.found = known;
          },
          () => undefined,
        );
      }
    }
    connection.send(job, finding);
  }

  /** Runs a statement there, and binds the client to the connection. */
  run(job: Job, found: Classification | undefined): Promise<void> | undefined {
    const connection = this.#connection;
    if (connection?.isUsable === true) {
      this.isBound = true;
      this.send(connection, job, this.#host.isLate, found);
      return undefined;
    }
    return this.open().then((opened) => this.send(opened, job, this.#host.isLate, found));
  }

  /** Runs a statement that changes nothing for reads: those still run wherever they are fresh. */
  async runAside(job: Job, found: Classification): Promise<void> {
    const connection = this.#connection?.isUsable === true ? this.#connection : await this.open();
    this.isBound = false;
    await new Promise<void>((resolve) => {
      const answer: Answer = (error, result) => {
        resolve();
        job.answer(error, result);
      };
      this.send(connection, { ...job, answer }, true, found);
    });
  }

  submit({ submittable, callback, scope, entry }: Submission, found: Classification | undefined) {
    const run = (connection: PrimaryConnection): void => {
      this.isBound = true;
      const request = this.#host.cluster.writeRequest(scope, entry);
      connection.submit(submittable, callback, request, { found, learns: false });
    };
    const connection = this.#connection;
    if (connection !== undefined && (this.isRequired || connection.isUsable)) {
      run(connection);
      return undefined;
    }
    return this.open().then(run);
  }
}
