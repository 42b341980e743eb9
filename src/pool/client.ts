/**
 * What `connect()` hands out: pg's client to its user, and a router behind it. Reads run wherever they are fresh, each by itself, until the first statement that
 * belongs to one connection: from then on all of them run on the client's own connection to the primary, until it is released.
 */

import { EventEmitter } from 'node:events';
import pg, { type Client, type QueryConfig, type QueryResult } from 'pg';
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import { clientFacts } from '../options/discreet-pool.js';
import { isBroken } from '../postgres/internals.js';
import { type PreparedQuery, preparedWith } from '../postgres/prepared-query.js';
import { logsOnly } from '../redaction.js';
import type { SessionScope } from '../session/session.js';
import { isNeutral } from '../sql/session-state.js';
import type { Classification } from '../statements/classifier.js';
import type { ClientHost } from './access.js';
import { HeldConnection } from './held-connection.js';
import {
  type Answer,
  callbackOf,
  given,
  isSubmittable,
  type Job,
  promised,
  type Submittable,
  textOf,
  valuesOf,
} from './job.js';
import { PrimaryClient, type TypeParser } from './primary-client.js';
import { type Finding, PrimaryConnection } from './primary-connection.js';
import { routedRead } from './routed-read.js';
import { Turns } from './turns.js';

/** Of prepared statements' texts that a client keeps: whoever makes names without end says the text with each. */
const MAX_NAMES = 1_000;
/** A replica would take them, and lock nobody else out. */
const ADVISORY = /\bpg_(?:try_)?advisory_/i;

/** A submittable's whole way, as a job without an answer. */
interface Submission {
  readonly submittable: Submittable;
  readonly callback: Answer | undefined;
  readonly scope: SessionScope;
}

/** Why a connection could not be opened, and the last statement that had been asked for by then: as with pg, what waited behind it fails with it. */
interface Refusal {
  readonly error: unknown;
  readonly upTo: number;
}

/** What becomes of a transaction in which a client was released: it is rolled back, or whoever takes the client next is in it. */
export type LeftOpen = 'discarded' | 'kept';

export class RoutedClient extends EventEmitter {
  readonly #host: ClientHost;
  readonly #turns = new Turns();
  readonly #aim: PrimaryClient;
  #hasConnected = false;
  #own: PrimaryConnection | undefined;
  #hold: HeldConnection | undefined;
  #holder: SessionScope | undefined;
  /** All that comes goes to the own connection. */
  #isBound = false;
  #isCheckedOut = false;
  /** Whether nobody has it but `query` of the pool: what comes next can only come the same way. */
  #isForQuery = false;
  #wasOpenBefore = false;
  /** Whether it was released in a transaction that goes on. */
  #isKept = false;
  #isDiscarded = false;
  #isReferenced = true;
  #askedCount = 0;
  #refusal: Refusal | undefined;
  #hasTypeParsers = false;
  /** The texts of prepared statements, which pg lets run by their names alone: here the next one may run elsewhere. */
  readonly #namedTexts = new Map<string, string>();

  static {
    logsOnly(RoutedClient.prototype, 'Client', (self) => clientFacts(self as unknown as Client));
    // For those who ask: it is pg's client by all that can be told from outside.
    Object.setPrototypeOf(RoutedClient.prototype, pg.Client.prototype);
  }

  constructor(host: ClientHost) {
    super();
    this.#host = host;
    this.#aim = new PrimaryClient(host, (event, args) => {
      if (event !== 'error' || this.#mayFail) this.emit(event, ...args);
    });
  }

  /** pg's client behind it, to the primary. */
  get primaryClient(): Client {
    return this.#aim.client;
  }

  /** Whether its connection to the primary is open. */
  get isOpen(): boolean {
    return this.#own !== undefined;
  }

  /** Whether something was left on its connection that later statements go by: a setting, a temporary table, an open transaction. */
  get isTied(): boolean {
    return this.#own?.holdsState === true || this.#isKept;
  }

  get #isOnOwn(): boolean {
    return this.#isBound || this.#own?.holdsState === true;
  }

  /** pg-pool gives up a client that says no. */
  get _queryable(): boolean {
    return !isBroken(this.#aim.client) && !this.#isDiscarded;
  }

  connect(): Promise<this>;
  connect(callback: (error: Error | null, client?: this) => void): void;
  connect(callback?: (error: Error | null, client?: this) => void): Promise<this> | undefined {
    if (callback === undefined) {
      return promised<this>(this.#host.Promise, (answer) => this.connect(answer));
    }
    if (this.#hasConnected) {
      process.nextTick(callback, new Error('Client has already been connected. You cannot reuse a client.'));
      return undefined;
    }
    this.#hasConnected = true;
    if (this.#host.isLate) {
      process.nextTick(callback, null, this);
      return undefined;
    }
    this.#open(true).then(
      () => process.nextTick(callback, null, this),
      (error: unknown) => process.nextTick(callback, error),
    );
    return undefined;
  }

  query(query: unknown, values?: unknown, callback?: unknown): unknown {
    if (query === null || query === undefined) throw new TypeError('Client was passed a null or undefined query');
    const { cluster, Promise: PromiseClass } = this.#host;
    const scope = cluster.scope();
    let asked: Submittable | PreparedQuery;
    let givenValues: unknown[] | undefined;
    try {
      asked = given(query);
      givenValues = valuesOf(values);
    } catch (error) {
      const own = callbackOf(undefined, values, callback);
      if (own === undefined) return PromiseClass.reject(error);
      process.nextTick(cluster.bind(own), error as Error);
      return undefined;
    }
    if (isSubmittable(asked)) {
      const own = callbackOf(undefined, values, callback);
      this.#submit({ submittable: asked, callback: own === undefined ? own : cluster.bind(own), scope });
      return query;
    }
    const job = { query: this.#named(asked), values: givenValues, scope };
    const own = callbackOf(asked, values, callback);
    if (own === undefined) {
      const running = promised<QueryResult>(PromiseClass, (answer) =>
        this.#take({ ...job, answer, isCallback: false }),
      );
      return scope.floor.isCounting && !this.#isKnownRead(asked) ? scope.floor.counting(running) : running;
    }
    this.#take({ ...job, answer: cluster.bind(own), isCallback: true });
    return undefined;
  }

  #isKnownRead(query: PreparedQuery): boolean {
    const text = textOf(query);
    return text !== undefined && this.#host.cluster.classifier.known(text, performance.now())?.class === 'read';
  }

  setTypeParser(...parser: TypeParser): void {
    this.#hasTypeParsers = true;
    this.#aim.setTypeParser(parser);
  }

  /** Of whatever its next statement may find: without any connection, no transaction is open. */
  getTransactionStatus(): 'I' | 'T' | 'E' | null {
    return this.#hold?.status ?? this.#own?.status() ?? (this.#host.isLate && !this.isOpen ? 'I' : null);
  }

  /** A client without a connection has nothing that could keep the process alive, or let it go. */
  ref(): void {
    this.#isReferenced = true;
    if (this.isOpen) (this.#aim.client as Client & { ref?(): void }).ref?.();
  }

  unref(): void {
    this.#isReferenced = false;
    if (this.isOpen) (this.#aim.client as Client & { unref?(): void }).unref?.();
  }

  end(callback?: () => void): unknown {
    this.#leaveHold(true);
    return callback === undefined ? this.#aim.client.end() : this.#aim.client.end(callback);
  }

  /** It has been taken out of the pool. */
  acquired(): void {
    this.#isCheckedOut = true;
    this.#isForQuery = false;
    const own = this.#own;
    this.#wasOpenBefore = own?.isInTransaction === true;
    // Another server is the primary by now.
    if (own?.isUsable === false && !this.#wasOpenBefore && this.#turns.isIdle) this.#forgetState();
  }

  /** It was taken for one statement of the pool's `query`. */
  servesOneQuery(): void {
    this.#isForQuery = true;
  }

  /** It goes back to the pool. @returns what becomes of the transaction that was begun and left open on it */
  released(): LeftOpen | undefined {
    this.#isCheckedOut = false;
    if (this.#turns.isIdle && (this.#own?.pending ?? 0) === 0) {
      const leftOpen = this.#unbind();
      return leftOpen === 'kept' && this.#wasOpenBefore ? undefined : leftOpen;
    }
    if (this.#hold?.isStreaming === true) {
      this.#hold.outlive(this.#holder as SessionScope);
      this.#hold = undefined;
    }
    this.#turns.whenIdle(() => {
      const own = this.#own;
      if (own === undefined || own.pending === 0) this.#releasedLater();
      else own.whenIdle(() => this.#releasedLater());
    });
    return undefined;
  }

  /** What was on its way has ended. Somebody else may have the client by then: as with pg, he has it as it is. */
  #releasedLater(): void {
    if (this.#isCheckedOut || this.#unbind() !== 'discarded') return;
    // pg-pool lets go of an idle client that fails.
    this.emit('error', new Error('the client was released inside a transaction: it was rolled back'));
  }

  #forgetState(): void {
    this.#isBound = false;
    this.#own?.forgetState();
  }

  #unbind(): LeftOpen | undefined {
    const { isLate } = this.#host;
    const status = this.#hold?.status;
    const isHoldOpen = status === 'T' || status === 'E';
    const isOwnOpen = this.#own?.isInTransaction === true;
    this.#leaveHold(this.#hold !== undefined && status !== 'I');
    this.#isKept = isOwnOpen && !isHoldOpen && (!isLate || this.#isForQuery);
    this.#isDiscarded ||= (isHoldOpen || isOwnOpen) && !this.#isKept;
    if (isLate) this.#isBound = this.isTied;
    return this.#isKept ? 'kept' : isHoldOpen || isOwnOpen ? 'discarded' : undefined;
  }

  #take(job: Job): void {
    const { cluster, isLate } = this.#host;
    cluster.used();
    const own = this.#own;
    if (own !== undefined && this.#isOnOwn && this.#turns.isIdle) {
      this.#sendOwn(own, job, isLate);
      return;
    }
    const number = ++this.#askedCount;
    this.#turns.take((done) =>
      this.#turn(
        number,
        done,
        () => this.#route(job),
        (error) => fail(job, error),
      ),
    );
  }

  /** @param learns whether later statements depend on what this one does */
  #sendOwn(own: PrimaryConnection, job: Job, learns: boolean, found?: Classification): void {
    const finding: Finding = { found, learns };
    const text = textOf(job.query);
    if (finding.found === undefined && learns && text !== undefined) {
      const { classifier } = this.#host.cluster;
      finding.found = classifier.known(text, performance.now());
      // Known long before the server has answered; a hint that makes no sense is no matter here.
      if (finding.found === undefined) {
        classifier.classify(text).then(
          (known) => {
            finding.found = known;
          },
          () => undefined,
        );
      }
    }
    own.send(job, finding);
  }

  /** @param number the statement's, of those that were asked for */
  #turn(
    number: number,
    done: () => void,
    run: () => Promise<void> | undefined,
    failed: (error: unknown) => void,
  ): boolean {
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
  }

  #route(job: Job): Promise<void> | undefined {
    const own = this.#own;
    if (this.#isOnOwn && own !== undefined) {
      this.#sendOwn(own, job, this.#host.isLate);
      return undefined;
    }
    const text = textOf(job.query);
    if (text === undefined) return this.#runOnOwn(job, undefined);
    const { classifier } = this.#host.cluster;
    const found = classifier.known(text, performance.now());
    if (found !== undefined) return this.#routeFound(job, text, found);
    return classifier.classify(text).then((known) => this.#routeFound(job, text, known));
  }

  #routeFound(job: Job, text: string, found: Classification): Promise<void> | undefined {
    const { intent } = this.#host;
    if (intent === 'write') return this.#runOnOwn(job, found);
    if (this.#hold !== undefined) return this.#runOnHold(this.#hold, job, text, found);
    const isVouched = intent === 'read' && found.class !== 'session';
    if (isVouched || (found.class === 'read' && !found.isAttached)) return this.#read(job, text, found);
    const beginsHere = found.begins === 'read-only' || (intent === 'read' && found.begins === 'plain');
    if (beginsHere || (intent === 'read' && found.begins === undefined)) return this.#begin(job, found);
    return isNeutral(found.effects) && !this.#isBound ? this.#runAside(job, found) : this.#runOnOwn(job, found);
  }

  /** On whichever server is fresh. */
  #read(job: Job, text: string, found: Classification): Promise<void> {
    const { scope, values } = job;
    const reading = { text, query: this.#typed(job.query), values, scope, found };
    const onPrimary = (): Promise<QueryResult> =>
      promised(Promise, (answer) => void this.#runOnOwn({ ...job, answer }, undefined)?.catch(answer));
    return routedRead(this.#host, reading, onPrimary).then((result) => succeed(job, result));
  }

  /** A transaction, or whatever else keeps to one connection, on a replica that is fresh enough before it begins. */
  async #begin(job: Job, found: Classification): Promise<void> {
    const { cluster, introduce } = this.#host;
    const need = cluster.need(job.scope, found.hint, performance.now());
    let result: QueryResult | undefined;
    this.#hold = await HeldConnection.begin(cluster.context, need, introduce, async (hold) => {
      result = await promised<QueryResult>(Promise, (answer) => void hold.run({ ...job, answer }, found.leavesState));
      // On a replica it is read-only whatever it says.
      if (found.begins === 'plain' && hold.isOnPrimary) {
        const query = 'set transaction read only';
        await promised(Promise, (answer) => void hold.run({ ...job, query, values: undefined, answer }, false));
      }
    });
    this.#holder = job.scope;
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
    if (!hold.keeps && hold.status === 'I') this.#leaveHold();
  }

  #runOnOwn(job: Job, found: Classification | undefined): Promise<void> | undefined {
    const own = this.#own;
    if (own?.isUsable === true) {
      this.#isBound = true;
      this.#sendOwn(own, job, this.#host.isLate, found);
      return undefined;
    }
    return this.#open().then((opened) => this.#sendOwn(opened, job, this.#host.isLate, found));
  }

  /** What changes nothing for reads: those go on wherever they are fresh. */
  async #runAside(job: Job, found: Classification): Promise<void> {
    const own = this.#own?.isUsable === true ? this.#own : await this.#open();
    this.#isBound = false;
    await new Promise<void>((resolve) => {
      const answer: Answer = (error, result) => {
        resolve();
        job.answer(error, result);
      };
      this.#sendOwn(own, { ...job, answer }, true, found);
    });
  }

  #submit(submission: Submission): void {
    const { cluster, isLate } = this.#host;
    cluster.used();
    const run = (): Promise<void> | undefined => {
      const text = isLate && !this.#isOnOwn ? textOf(submission.submittable) : undefined;
      if (text === undefined) return this.#submitOnOwn(submission, undefined);
      return cluster.classifier.classify(text).then((found) => this.#submitFound(submission, found));
    };
    const number = ++this.#askedCount;
    this.#turns.take((done) =>
      this.#turn(number, done, run, (error) => {
        process.nextTick(() => submission.submittable.handleError(error as Error, this.#aim.client));
      }),
    );
  }

  async #submitFound(submission: Submission, found: Classification): Promise<void> {
    const { cluster, introduce, intent } = this.#host;
    const { submittable, callback, scope } = submission;
    const held = this.#hold;
    if (held !== undefined) {
      await held.submit(submittable, callback);
      if (this.#hold === held && !held.keeps && held.status === 'I') this.#leaveHold();
      return;
    }
    const isRead = found.class === 'read' && !found.isAttached;
    if (!isRead && intent !== 'read') {
      await this.#submitOnOwn(submission, found);
      return;
    }
    const need = cluster.need(scope, found.hint, performance.now());
    const hold = await HeldConnection.begin(cluster.context, need, introduce, async () => undefined);
    this.#hold = hold;
    this.#holder = scope;
    try {
      await hold.submit(submittable, callback);
    } finally {
      if (this.#hold === hold) this.#leaveHold();
    }
  }

  #submitOnOwn({ submittable, callback, scope }: Submission, found: Classification | undefined) {
    const run = (own: PrimaryConnection): void => {
      this.#isBound = true;
      own.submit(submittable, callback, scope, { found, learns: false });
    };
    const own = this.#own;
    if (own !== undefined && (this.#isOnOwn || own.isUsable)) {
      run(own);
      return undefined;
    }
    return this.#open().then(run);
  }

  #leaveHold(isBroken = false): void {
    this.#hold?.leave(this.#holder as SessionScope, isBroken);
    this.#hold = undefined;
    this.#holder = undefined;
  }

  /** @param isSetUpByPool as pg-pool does with what it connects itself */
  async #open(isSetUpByPool = false): Promise<PrimaryConnection> {
    const { cluster } = this.#host;
    if (this.#own !== undefined) void this.#own.client.end().catch(() => undefined);
    this.#own = undefined;
    let own: PrimaryConnection;
    try {
      own = await PrimaryConnection.open(cluster, (node) => this.#aim.at(node));
    } catch (error) {
      this.#refusal = { error, upTo: this.#askedCount };
      throw error;
    }
    this.#own = own;
    this.#isBound = true;
    if (!this.#isReferenced) this.unref();
    if (!isSetUpByPool) await this.#host.opened(own.client);
    return own;
  }

  /**
   * Whoever does not listen for errors learns of them by his next statement, and not by the end of his process; and whose statements run elsewhere has
   * nothing to do with a connection that he does not use.
   */
  get #mayFail(): boolean {
    return this.listenerCount('error') > 0 && (this.#isBound || !this.#isCheckedOut);
  }

  #named(query: PreparedQuery): PreparedQuery {
    if (typeof query === 'string' || query.name === undefined) return query;
    const { name, text } = query;
    if (typeof text === 'string') {
      if (this.#namedTexts.size < MAX_NAMES) this.#namedTexts.set(name, text);
      return query;
    }
    const known = this.#namedTexts.get(name);
    return known === undefined ? query : preparedWith(query, { text: known });
  }

  /** Its own type parsers hold wherever its statements run. */
  #typed(query: PreparedQuery): PreparedQuery {
    if (!this.#hasTypeParsers || (typeof query === 'object' && query.types !== undefined)) return query;
    const types = this.#aim.client as unknown as NonNullable<QueryConfig['types']>;
    return preparedWith(query, { types });
  }
}

/** A callback is not called within a promise, which would swallow what it throws. */
function succeed({ answer, isCallback }: Job, result: QueryResult): void {
  if (isCallback) process.nextTick(answer, null, result);
  else answer(null, result);
}

function fail({ answer, isCallback }: Job, error: unknown): void {
  if (isCallback) process.nextTick(answer, error);
  else answer(error as Error);
}
