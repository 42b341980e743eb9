/**
 * The router behind a pool's client. Reads run wherever they are fresh, each by itself, until the first statement that belongs to one
 * connection: from then on all of them run on the client's own connection to the primary, until it is released.
 */
import process from 'node:process';
import type { QueryResult } from 'pg';
import { LadderError } from '../errors.js';
import type { Entry } from '../execute/gate.js';
import { type Answer, promised, type Submittable, textOf } from '../postgres/arguments.js';
import type { SessionScope } from '../session/session.js';
import type { Classification } from '../statements/classifier.js';
import type { ClientHost } from './access.js';
import { type Course, courseOf } from './decide.js';
import { HeldConnection } from './held-connection.js';
import { fail, type Job, succeed } from './job.js';
import type { PrimaryClient } from './primary-client.js';
import { type Finding, PrimaryConnection } from './primary-connection.js';
import { Turns } from './turns.js';

/** A replica would take them, and lock nobody else out. */
const ADVISORY = /\bpg_(?:try_)?advisory_/i;

/** A submittable's whole way, as a job without an answer. */
export interface Submission {
  readonly submittable: Submittable;
  readonly callback: Answer | undefined;
  readonly scope: SessionScope;
  readonly entry: Entry;
}

/** Why a connection could not be opened, and the last statement that had been asked for by then: as with pg, what waited behind it fails with it. */
interface Refusal {
  readonly error: unknown;
  readonly upTo: number;
}

/** What becomes of a transaction in which a client was released: it is rolled back, or whoever takes the client next is in it. */
export type LeftOpen = 'discarded' | 'kept';

export class ClientRouter {
  readonly #host: ClientHost;
  readonly #primary: PrimaryClient;
  /** A connection to the primary has been opened. */
  readonly #opened: () => void;
  readonly #turns = new Turns();
  #own: PrimaryConnection | undefined;
  #hold: HeldConnection | undefined;
  /** All that comes goes to the own connection. */
  #isBound = false;
  /** Whether it was released in a transaction that goes on. */
  #isKept = false;
  #isDiscarded = false;
  #askedCount = 0;
  #refusal: Refusal | undefined;

  constructor(host: ClientHost, primary: PrimaryClient, opened: () => void) {
    this.#host = host;
    this.#primary = primary;
    this.#opened = opened;
  }

  get own(): PrimaryConnection | undefined {
    return this.#own;
  }

  get isBound(): boolean {
    return this.#isBound;
  }

  /** Whether nothing is under way, here or on its own connection. */
  get isIdle(): boolean {
    return this.#turns.isIdle && (this.#own?.pending ?? 0) === 0;
  }

  get isDiscarded(): boolean {
    return this.#isDiscarded;
  }

  /** Whether something was left on its connection that later statements go by: a setting, a temporary table, an open transaction. */
  get isTied(): boolean {
    return this.#own?.holdsState === true || this.#isKept;
  }

  /** Of whatever its next statement may find: without any connection, no transaction is open. */
  get status(): 'I' | 'T' | 'E' | undefined {
    return (
      this.#hold?.status ?? this.#own?.status() ?? (this.#host.isLate && this.#own === undefined ? 'I' : undefined)
    );
  }

  /** Calls `then` when nothing is under way any more. */
  whenIdle(then: () => void): void {
    this.#turns.whenIdle(() => {
      const own = this.#own;
      if (own === undefined || own.pending === 0) then();
      else own.whenIdle(then);
    });
  }

  /** Whoever takes it next is not in what was left on a connection to a server that is no more the primary. */
  forgetState(): void {
    if (!this.#turns.isIdle) return;
    this.#isBound = false;
    this.#own?.forgetState();
  }

  /** What streams on a replica goes on without its client. */
  letStream(): void {
    if (this.#hold?.isStreaming !== true) return;
    this.#hold.outlive();
    this.#hold = undefined;
  }

  /** Lets go of what it is in. @param isForQuery whether what comes next can only come through `query` of the pool @returns what becomes of an open transaction */
  unbind(isForQuery: boolean): LeftOpen | undefined {
    const { isLate } = this.#host;
    const status = this.#hold?.status;
    const isHoldOpen = status === 'T' || status === 'E';
    const isOwnOpen = this.#own?.isInTransaction === true;
    this.leaveHold(this.#hold !== undefined && status !== 'I');
    this.#isKept = isOwnOpen && !isHoldOpen && (!isLate || isForQuery);
    this.#isDiscarded ||= (isHoldOpen || isOwnOpen) && !this.#isKept;
    if (isLate) this.#isBound = this.isTied;
    return this.#isKept ? 'kept' : isHoldOpen || isOwnOpen ? 'discarded' : undefined;
  }

  take(job: Job): void {
    const own = this.#own;
    if (own !== undefined && this.#isOnOwn && this.#turns.isIdle) {
      this.#sendOwn(own, job, this.#host.isLate);
      return;
    }
    this.#inTurn(
      () => this.#route(job),
      (error) => fail(job, error),
    );
  }

  submit(submission: Submission): void {
    const { cluster, isLate } = this.#host;
    const { submittable } = submission;
    const run = (): Promise<void> | undefined => {
      const text = isLate && !this.#isOnOwn ? textOf(submittable) : undefined;
      if (text === undefined) return this.#submitOnOwn(submission, undefined);
      return cluster.classify(text).then((found) => this.#submitFound(submission, found));
    };
    this.#inTurn(run, (error) => {
      process.nextTick(() => submittable.handleError(error as Error, this.#primary.client));
    });
  }

  leaveHold(isBroken = false): void {
    this.#hold?.leave(isBroken);
    this.#hold = undefined;
  }

  /** @param isSetUpByPool as pg-pool does with what it connects itself */
  async open(isSetUpByPool = false): Promise<PrimaryConnection> {
    const { cluster } = this.#host;
    if (this.#own !== undefined) void this.#own.client.end().catch(() => undefined);
    this.#own = undefined;
    let own: PrimaryConnection;
    try {
      own = await PrimaryConnection.open(cluster, (node) => this.#primary.at(node));
    } catch (error) {
      this.#refusal = { error, upTo: this.#askedCount };
      throw error;
    }
    this.#own = own;
    this.#isBound = true;
    this.#opened();
    if (!isSetUpByPool) await this.#host.opened(own.client);
    return own;
  }

  get #isOnOwn(): boolean {
    return this.#isBound || this.#own?.holdsState === true;
  }

  /** @param learns whether later statements depend on what this one does */
  #sendOwn(own: PrimaryConnection, job: Job, learns: boolean, found?: Classification): void {
    const finding: Finding = { found, learns };
    const text = textOf(job.query);
    if (finding.found === undefined && learns && text !== undefined) {
      const { cluster } = this.#host;
      finding.found = cluster.known(text);
      // Known long before the server has answered; a hint that makes no sense is no matter here.
      if (finding.found === undefined) {
        cluster.classify(text).then(
          (known) => {
            finding.found = known;
          },
          () => undefined,
        );
      }
    }
    own.send(job, finding);
  }

  /** Statements run in the order in which they were asked for. */
  #inTurn(run: () => Promise<void> | undefined, failed: (error: unknown) => void): void {
    const number = ++this.#askedCount;
    this.#turns.take((done) => {
      try {
        if (this.#refusal !== undefined && number <= this.#refusal.upTo) throw this.#refusal.error;
        const running = run();
        if (running === undefined) return false;
        running.then(done, (error: unknown) => {
          done();
          failed(error);
        });
        return true;
      } catch (error) {
        failed(error);
        return false;
      }
    });
  }

  #route(job: Job): Promise<void> | undefined {
    const own = this.#own;
    if (this.#isOnOwn && own !== undefined) {
      this.#sendOwn(own, job, this.#host.isLate);
      return undefined;
    }
    const text = textOf(job.query);
    if (text === undefined) return this.#runOnOwn(job, undefined);
    const { cluster } = this.#host;
    const found = cluster.known(text);
    if (found !== undefined) return this.#run(job, text, found);
    return cluster.classify(text).then((known) => this.#run(job, text, known));
  }

  #run(job: Job, text: string, found: Classification): Promise<void> | undefined {
    const { intent } = this.#host;
    const hold = this.#hold;
    const course: Course = courseOf(found, { intent, isHolding: hold !== undefined, isBound: this.#isBound });
    if (course === 'held') return this.#runOnHold(hold as HeldConnection, job, text, found);
    if (course === 'fresh') return this.#read(job, found);
    if (course === 'begin') return this.#begin(job, found);
    return course === 'aside' ? this.#runAside(job, found) : this.#runOnOwn(job, found);
  }

  /** On whichever server is fresh. */
  #read(job: Job, found: Classification): Promise<void> {
    const { cluster, introduce, intent } = this.#host;
    const query = this.#primary.typed(job.query);
    const reading = { ...job, query, found, isVouched: intent === 'read', introduce };
    const onPrimary = (): Promise<QueryResult> =>
      promised(Promise, (answer) => void this.#runOnOwn({ ...job, answer }, undefined)?.catch(answer));
    return cluster.read(reading, onPrimary).then((result) => succeed(job, result));
  }

  /** A transaction, or whatever else keeps to one connection, on a replica that is fresh enough before it begins. */
  async #begin(job: Job, found: Classification): Promise<void> {
    const { cluster, introduce } = this.#host;
    const request = cluster.readRequest(job.scope, found.hint, job.entry);
    let result: QueryResult | undefined;
    this.#hold = await HeldConnection.begin(request, introduce, async (hold) => {
      result = await promised<QueryResult>(Promise, (answer) => void hold.run({ ...job, answer }, found.leavesState));
      // On a replica it is read-only whatever it says.
      if (found.begins === 'plain' && hold.isOnPrimary) {
        const query = 'set transaction read only';
        await promised(Promise, (answer) => void hold.run({ query, values: undefined, answer }, false));
      }
    });
    this.#hold.keeps = found.begins === undefined;
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

  #runOnOwn(job: Job, found: Classification | undefined): Promise<void> | undefined {
    const own = this.#own;
    if (own?.isUsable === true) {
      this.#isBound = true;
      this.#sendOwn(own, job, this.#host.isLate, found);
      return undefined;
    }
    return this.open().then((opened) => this.#sendOwn(opened, job, this.#host.isLate, found));
  }

  /** What changes nothing for reads: those go on wherever they are fresh. */
  async #runAside(job: Job, found: Classification): Promise<void> {
    const own = this.#own?.isUsable === true ? this.#own : await this.open();
    this.#isBound = false;
    await new Promise<void>((resolve) => {
      const answer: Answer = (error, result) => {
        resolve();
        job.answer(error, result);
      };
      this.#sendOwn(own, { ...job, answer }, true, found);
    });
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
      await this.#submitOnOwn(submission, found);
      return;
    }
    const request = cluster.readRequest(scope, found.hint, entry);
    const hold = await HeldConnection.begin(request, introduce, async () => undefined);
    this.#hold = hold;
    try {
      await hold.submit(submittable, callback);
    } finally {
      if (this.#hold === hold) this.leaveHold();
    }
  }

  #submitOnOwn({ submittable, callback, scope, entry }: Submission, found: Classification | undefined) {
    const run = (own: PrimaryConnection): void => {
      this.#isBound = true;
      own.submit(submittable, callback, this.#host.cluster.writeRequest(scope, entry), { found, learns: false });
    };
    const own = this.#own;
    if (own !== undefined && (this.#isOnOwn || own.isUsable)) {
      run(own);
      return undefined;
    }
    return this.open().then(run);
  }
}
