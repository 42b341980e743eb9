/**
 * The router behind a pool's client. Reads run wherever they are fresh, each by itself, until the first statement that
 * belongs to one connection. From then on all statements run on the client's own connection to the primary, until the
 * client is released.
 */
import process from 'node:process';
import type { QueryResult } from 'pg';
import { LadderError } from '../errors.js';
import type { Expiry } from '../isolation/watched-connection.js';
import { promised, textOf } from '../postgres/arguments.js';
import { SET_READ_ONLY } from '../postgres/own-statements.js';
import type { Classification } from '../statements/classifier.js';
import type { ClientHost } from './access.js';
import { type Course, courseOf } from './decide.js';
import { HeldConnection } from './held-connection.js';
import { fail, type Job, succeed } from './job.js';
import { PrimaryAccess, type Submission } from './primary-access.js';
import type { PrimaryClient } from './primary-client.js';
import type { PrimaryConnection } from './primary-connection.js';
import { StatementQueue } from './statement-queue.js';

/** A replica would run them, and its locks would exclude no other client. */
const ADVISORY = /\bpg_(?:try_)?advisory_/i;

/** What becomes of a transaction in which a client was released: it is rolled back, or the client's next user is in it. */
export type LeftOpen = 'discarded' | 'kept';

export class ClientRouter {
  readonly #host: ClientHost;
  readonly #client: PrimaryClient;
  readonly #queue = new StatementQueue();
  readonly #primary: PrimaryAccess;
  #hold: HeldConnection | undefined;
  /** Whether the client was released in a transaction that goes on. */
  #isKept = false;
  #isDiscarded = false;
  readonly #onExpired: (error: LadderError) => void;
  /** Why its transaction was ended. */
  #expiry: Expiry | undefined;

  /** @param on called when a connection to the primary has been opened, and when the client must serve nobody any more, since its transaction was ended */
  constructor(
    host: ClientHost,
    client: PrimaryClient,
    on: { readonly open: () => void; readonly expired: (error: LadderError) => void },
  ) {
    this.#host = host;
    this.#client = client;
    this.#onExpired = on.expired;
    this.#primary = new PrimaryAccess(host, client, this.#queue, { open: on.open, expired: this.#expire });
  }

  /** The client's own connection to the primary, once it is open. */
  get own(): PrimaryConnection | undefined {
    return this.#primary.connection;
  }

  get isBound(): boolean {
    return this.#primary.isBound;
  }

  /** Whether nothing is under way, here or on its own connection. */
  get isIdle(): boolean {
    return this.#queue.isIdle && (this.own?.pending ?? 0) === 0;
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded || this.isExpired;
  }

  /** Whether its transaction was ended: it runs nothing any more. */
  get isExpired(): boolean {
    return this.#expiry !== undefined;
  }

  /** Whether something was left on its connection that later statements go by: a setting, a temporary table, an open transaction. */
  get isTied(): boolean {
    return this.own?.holdsState === true || this.#isKept;
  }

  /** Of whatever its next statement may find: without any connection, no transaction is open. */
  get status(): 'I' | 'T' | 'E' | undefined {
    return this.#hold?.status ?? this.own?.status() ?? (this.#host.isLate && this.own === undefined ? 'I' : undefined);
  }

  /** Calls `then` when nothing is under way any more. */
  whenIdle(then: () => void): void {
    this.#queue.whenIdle(() => {
      const { own } = this;
      if (own === undefined || own.pending === 0) then();
      else own.whenIdle(then);
    });
  }

  /** See {@link PrimaryAccess.forgetState}. */
  forgetState(): void {
    if (this.#queue.isIdle) this.#primary.forgetState();
  }

  /** A stream on a replica goes on without its client. */
  letStream(): void {
    if (this.#hold?.isStreaming !== true) return;
    this.#hold.outlive();
    this.#hold = undefined;
  }

  /** Lets go of what it is in. @param isForQuery whether what comes next can only come through `query` of the pool @returns what becomes of an open transaction */
  unbind(isForQuery: boolean): LeftOpen | undefined {
    if (this.isExpired) return undefined;
    const { isLate } = this.#host;
    const status = this.#hold?.status;
    const isHoldOpen = status === 'T' || status === 'E';
    const isOwnOpen = this.own?.isInTransaction === true;
    this.leaveHold(this.#hold !== undefined && status !== 'I');
    this.#isKept = isOwnOpen && !isHoldOpen && (!isLate || isForQuery);
    this.#isDiscarded ||= (isHoldOpen || isOwnOpen) && !this.#isKept;
    if (isLate) this.#primary.isBound = this.isTied;
    return this.#isKept ? 'kept' : isHoldOpen || isOwnOpen ? 'discarded' : undefined;
  }

  take(job: Job): void {
    const { own } = this;
    if (this.#expiry !== undefined) {
      fail(job, this.#expiry());
      return;
    }
    if (own !== undefined && this.#primary.isRequired && this.#queue.isIdle) {
      this.#primary.send(own, job, this.#host.isLate);
      return;
    }
    this.#queue.run(
      () => this.#route(job),
      (error) => fail(job, error),
    );
  }

  submit(submission: Submission): void {
    const { cluster, isLate } = this.#host;
    const { submittable } = submission;
    const run = (): Promise<void> | undefined => {
      if (this.#expiry !== undefined) throw this.#expiry();
      const text = isLate && !this.#primary.isRequired ? textOf(submittable) : undefined;
      if (text === undefined) return this.#primary.submit(submission, undefined);
      return cluster.classify(text).then((found) => this.#submitFound(submission, found));
    };
    this.#queue.run(run, (error) => {
      process.nextTick(() => submittable.handleError(error as Error, this.#client.client));
    });
  }

  leaveHold(isBroken = false): void {
    this.#hold?.leave(isBroken);
    this.#hold = undefined;
  }

  /** See {@link PrimaryAccess.open}. */
  open(isSetUpByPool: boolean): Promise<PrimaryConnection> {
    return this.#primary.open(isSetUpByPool);
  }

  readonly #expire = (expiry: Expiry): void => {
    this.#expiry = expiry;
    this.leaveHold(true);
    this.#onExpired(expiry());
  };

  #route(job: Job): Promise<void> | undefined {
    if (this.#expiry !== undefined) throw this.#expiry();
    const { own } = this;
    if (this.#primary.isRequired && own !== undefined) {
      this.#primary.send(own, job, this.#host.isLate);
      return undefined;
    }
    const text = textOf(job.query);
    if (text === undefined) return this.#primary.run(job, undefined);
    const { cluster } = this.#host;
    const found = cluster.known(text);
    if (found !== undefined) return this.#run(job, text, found);
    return cluster.classify(text).then((known) => this.#run(job, text, known));
  }

  #run(job: Job, text: string, found: Classification): Promise<void> | undefined {
    const { intent } = this.#host;
    const hold = this.#hold;
    const course: Course = courseOf(found, { intent, isHolding: hold !== undefined, isBound: this.isBound });
    if (course === 'held') return this.#runOnHold(hold as HeldConnection, job, text, found);
    if (course === 'fresh') return this.#read(job, found);
    if (course === 'begin') return this.#begin(job, found);
    return course === 'aside' ? this.#primary.runAside(job, found) : this.#primary.run(job, found);
  }

  /** On whichever server is fresh. */
  #read(job: Job, found: Classification): Promise<void> {
    const { cluster, introduce, intent } = this.#host;
    const query = this.#client.typed(job.query);
    const reading = { ...job, query, found, isVouched: intent === 'read', introduce };
    const onPrimary = (): Promise<QueryResult> =>
      promised(Promise, (answer) => void this.#primary.run({ ...job, answer }, undefined)?.catch(answer));
    return cluster.read(reading, onPrimary).then((result) => succeed(job, result));
  }

  /** A transaction, or whatever else keeps to one connection, on a replica that is fresh enough before it begins. */
  async #begin(job: Job, found: Classification): Promise<void> {
    const { cluster, introduce } = this.#host;
    const request = cluster.readRequest(job.scope, found.hint, job.entry);
    let result: QueryResult | undefined;
    const first = async (hold: HeldConnection): Promise<void> => {
      result = await promised<QueryResult>(Promise, (answer) => void hold.run({ ...job, answer }, found.leavesState));
      // On a replica it is read-only whatever it says.
      if (found.begins === 'plain' && hold.isOnPrimary) {
        const set = { query: SET_READ_ONLY, values: undefined, beginning: undefined };
        await promised(Promise, (answer) => void hold.run({ ...set, answer }, false));
      }
    };
    this.#hold = await HeldConnection.begin(request, introduce, first, this.#expire);
    this.#hold.keeps = found.begins === undefined;
    if (this.isExpired) this.leaveHold(true);
    succeed(job, result as QueryResult);
  }

  async #runOnHold(hold: HeldConnection, job: Job, text: string, found: Classification): Promise<void> {
    if (ADVISORY.test(text)) {
      throw new LadderError(
        'LADDER_READ_ONLY_TRANSACTION',
        'an advisory lock was asked for in a read-only transaction on a replica, where it would lock nobody out; begin without READ ONLY',
      );
    }
    await hold.run(job, found.leavesState);
    if (!hold.keeps && hold.status === 'I') this.leaveHold();
  }

  async #submitFound(submission: Submission, found: Classification): Promise<void> {
    const { cluster, introduce, intent } = this.#host;
    const { submittable, callback, scope, entry } = submission;
    const held = this.#hold;
    if (held !== undefined) {
      await held.submit(submittable, callback);
      if (this.#hold === held && !held.keeps && held.status === 'I') this.leaveHold();
      return;
    }
    const isRead = found.class === 'read' && !found.isAttached;
    if (!isRead && intent !== 'read') {
      await this.#primary.submit(submission, found);
      return;
    }
    const request = cluster.readRequest(scope, found.hint, entry);
    const hold = await HeldConnection.begin(request, introduce, async () => undefined, this.#expire);
    this.#hold = hold;
    try {
      await hold.submit(submittable, callback);
    } finally {
      if (this.#hold === hold) this.leaveHold();
    }
  }
}
