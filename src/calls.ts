/**
 * The life of a call: in through the gate, checked, held to the session that it belongs to or joined to the
 * transaction around it, and handed to the code that runs it. The caller passes in the session: this module knows
 * no async context.
 */

import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import type { Answered, RunBelow } from './cache/ground.js';
import type { CacheCall } from './cache/lookup.js';
import { CacheRung } from './cache/rung.js';
import { ReadSubjects } from './cache/subjects.js';
import type { Wish } from './cache/terms.js';
import type { Changes } from './changes/changes.js';
import { changesOf } from './changes/source.js';
import { settledWithin } from './deadline.js';
import { invalidOptions, LadderError } from './errors.js';
import { deadlineOf, withAbort } from './execute/abort.js';
import { checkedQuery, isDefinition, type Query, rejectWithin, textOf, type Values } from './execute/call.js';
import type { Context, Within } from './execute/call-context.js';
import { connection } from './execute/connection.js';
import { type ExecutionContext, executionContext } from './execute/context.js';
import { type Entry, Gate } from './execute/gate.js';
import { ended, settledIn, type Transaction, unjoinable } from './execute/open-transaction.js';
import { classifierOf } from './execute/own-classifier.js';
import { query } from './execute/query.js';
import { read } from './execute/read.js';
import type { Statement, StatementRequest } from './execute/request.js';
import { Requests } from './execute/requests.js';
import { SessionTokens } from './execute/session-tokens.js';
import { stream } from './execute/stream.js';
import { transaction } from './execute/transaction.js';
import { write } from './execute/write.js';
import { LiveQueries } from './live/live-queries.js';
import { Fleet } from './nodes/fleet.js';
import { type Explanation, explain } from './observe/explain.js';
import { MissingGrammar } from './observe/missing-grammar.js';
import { tellSessionState } from './observe/session-state.js';
import type { NameClaim } from './open-clusters.js';
import {
  type ConnectionOptions,
  checkOptions,
  type ReadOptions,
  type StreamOptions,
  type TransactionOptions,
  type WriteOptions,
} from './options/calls.js';
import { withoutUndefined } from './options/check.js';
import type { Settings } from './options/cluster.js';
import { preparedValues } from './postgres/prepared-query.js';
import { Publisher } from './publisher.js';
import type { SessionScope } from './session/scope.js';
import type { Classification, Classifier } from './statements/classifier.js';

export class Calls {
  readonly settings: Settings;
  /** It is held here, since whatever may publish leads here. */
  readonly claim: NameClaim;
  readonly publisher: Publisher;
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly context: ExecutionContext;
  readonly gate: Gate;
  readonly tokens: SessionTokens;
  readonly requests: Requests;
  /** The rungs above the replicas; `undefined` without them. */
  readonly cache: CacheRung | undefined;
  readonly subjects: ReadSubjects;
  /** What tells which tables change; `undefined` where nothing does. */
  readonly changes: Changes | undefined;
  /** What is watched. */
  readonly live: LiveQueries;
  readonly #within: Within;

  constructor(settings: Settings, within: Within, claim: NameClaim) {
    this.settings = settings;
    this.claim = claim;
    this.publisher = new Publisher(claim.name);
    this.#within = within;
    this.fleet = new Fleet(settings, this.publisher);
    const missingGrammar = new MissingGrammar(this.publisher);
    this.classifier = classifierOf(
      this.fleet,
      (cause) => missingGrammar.tell(cause),
      () => this.changes?.stampQuery,
    );
    this.publisher.digestOf = (text) => this.classifier.digestOf(text);
    this.publisher.digestNow = (text) => this.classifier.digestNow(text);
    this.context = executionContext(this.fleet, this.classifier);
    this.gate = new Gate(this.fleet, claim);
    this.tokens = new SessionTokens(this.fleet);
    this.requests = new Requests(this.context, this.tokens);
    const { fleet, classifier, gate, requests, publisher } = this;
    this.changes = changesOf(settings.changes, { fleet, classifier, publisher });
    const { cache } = settings;
    const ground = { fleet, classifier, gate, requests, publisher, changes: this.changes };
    this.cache = cache === undefined ? undefined : new CacheRung(cache, ground);
    this.live = new LiveQueries({ ...ground, tokens: this.tokens, texts: this.cache?.texts });
    this.subjects = new ReadSubjects(this.cache, classifier, fleet);
  }

  read<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.gate.run((entry) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (joined === undefined && options === undefined) {
        const statement = this.requests.statement(query, values);
        return this.place<Row>({ scope, statement, options, entry, signal: undefined }, read);
      }
      if (options !== undefined) this.#checkRead('read', options);
      return withAbort(options ?? {}, (signal) => {
        if (joined === undefined) {
          const statement = this.requests.statement(query, values);
          return this.place<Row>({ scope, statement, options, entry, signal }, read);
        }
        rejectWithin('read', options, settledIn(joined));
        return joined.run<Row>(this.requests.apart(query, values), signal);
      });
    }, options?.signal);
  }

  write<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: WriteOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.gate.run((entry) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (joined?.isReadOnly === true) {
        throw new LadderError('LADDER_READ_ONLY_TRANSACTION', 'write was called within a transaction that is readOnly');
      }
      const run = (signal: AbortSignal | undefined): Promise<QueryResult<Row>> => {
        if (joined !== undefined) return joined.run<Row>(this.requests.apart(query, values), signal);
        const statement = this.requests.statement(query, values);
        const request = this.requests.writeStatement(scope, options?.timeoutMillis, entry, signal, statement);
        const running = write<Row>(request);
        // What changes the catalogue changes what `query` goes by.
        return isDefinition(query) ? running.finally(() => this.classifier.changed(textOf(query))) : running;
      };
      if (options === undefined) return run(undefined);
      checkOptions('write', options);
      return withAbort(options, run);
    }, options?.signal);
  }

  query<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.gate.run((entry) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (options !== undefined) this.#checkRead('query', options);
      const text = textOf(query);
      const found = joined === undefined ? this.classifier.known(text, entry.startedAt) : undefined;
      if (found !== undefined) {
        const run = (signal: AbortSignal | undefined): Answered<Row> =>
          this.#query<Row>(scope, found, this.requests.statement(query, values), options, entry, signal);
        return options === undefined ? run(undefined) : withAbort(options, run);
      }
      return withAbort(options ?? {}, async (signal) => {
        if (joined !== undefined) {
          rejectWithin('query', options, settledIn(joined));
          return joined.run<Row>(this.requests.apart(query, values), signal);
        }
        const classified = await this.classifier.classify(text);
        return this.#query<Row>(scope, classified, this.requests.statement(query, values), options, entry, signal);
      });
    }, options?.signal);
  }

  #query<Row extends QueryResultRow>(
    scope: SessionScope,
    found: Classification,
    statement: Statement,
    options: ReadOptions | undefined,
    entry: Entry,
    signal: AbortSignal | undefined,
  ): Answered<Row> {
    const text = textOf(statement.query);
    if (found.class === 'session') tellSessionState(found.because, text, this.classifier, this.publisher);
    const asked = found.hint === undefined ? options : { ...found.hint, ...withoutUndefined(options ?? {}) };
    const call = { scope, statement, options: asked, entry, signal };
    const run = (request: StatementRequest): Promise<QueryResult<Row>> => query<Row>(request, found, this.classifier);
    return found.class === 'read' ? this.place(call, run) : run(this.#requestOf(call));
  }

  /** What reads: on the cheapest rung, those above the replicas included. @param run the rungs below */
  place<Row extends QueryResultRow>(call: CacheCall, run: RunBelow<Row>): Answered<Row> {
    const reading = this.cache === undefined ? run(this.#requestOf(call)) : this.cache.read(call, run);
    const { notes } = call.scope;
    return notes === undefined ? reading : this.subjects.noted(call, notes, Promise.resolve(reading));
  }

  #requestOf({ scope, options, entry, signal, statement }: CacheCall): StatementRequest {
    return this.requests.readStatement(scope, options, entry, signal, statement);
  }

  #checkRead(name: 'read' | 'query', options: ReadOptions): void {
    checkOptions(name, options);
    this.checkCache(name, options.cache);
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` */
  checkCache(call: string, wish: Wish): void {
    if (wish !== undefined && wish !== false && this.cache === undefined)
      throw invalidOptions(`${call}: cache: expected the option cache of createCluster to be set, too`);
  }

  async ready(timeoutMillis: number): Promise<void> {
    const loading = this.cache === undefined ? undefined : settledWithin(this.classifier.ready(), timeoutMillis);
    await this.fleet.ready(timeoutMillis);
    await loading;
  }

  transaction<T>(
    { scope, transaction: joined }: Context,
    fn: (client: PoolClient) => Promise<T> | T,
    options: TransactionOptions = {},
  ): Promise<T> {
    const enter = <R>(current: Transaction, run: () => R): R => this.#within({ scope, transaction: current }, run);
    return this.gate.run((entry) => {
      checkOptions('transaction', options);
      if (joined !== undefined) {
        rejectWithin('transaction', options, Object.keys(options));
        return joined.nest((inner, client) => enter(inner, async () => fn(client)));
      }
      const running = withAbort(options, (signal) =>
        transaction(this.requests.read(scope, options, entry, signal), { fn, options, enter }),
      );
      return options.readOnly === true ? running : scope.floor.counting(running);
    }, options.signal);
  }

  async *stream<Row>(
    { scope, transaction: joined }: Context,
    text: string,
    values: Values | undefined,
    options: StreamOptions,
  ): AsyncGenerator<Row, void, void> {
    if (joined !== undefined) throw joined.hasEnded ? ended() : unjoinable();
    checkOptions('stream', options);
    checkedQuery(text);
    const entry = this.gate.enter();
    try {
      const deadline = deadlineOf(options);
      try {
        const { batchRows = 100 } = options;
        const request = this.requests.read(scope, options, entry, deadline?.signal);
        yield* stream<Row>(request, { text, values: values as unknown[] | undefined, batchRows });
      } finally {
        deadline?.close();
      }
    } finally {
      this.gate.leave();
    }
  }

  connection<T>(
    { scope }: Context,
    fn: (client: PoolClient) => Promise<T> | T,
    options: ConnectionOptions,
  ): Promise<T> {
    return this.gate.run(async (entry) => {
      checkOptions('connection', options);
      const asked = { ...options, target: options.target ?? ('primary' as const) };
      return withAbort(options, (signal) => connection(this.requests.read(scope, asked, entry, signal), fn));
    }, options.signal);
  }

  explain({ scope }: Context, asked: Query, values: Values | undefined, options: ReadOptions): Promise<Explanation> {
    return this.gate.run(async (entry) => {
      const query = checkedQuery(asked);
      const text = textOf(query);
      this.#checkRead('read', options);
      await this.classifier.ready();
      const found = await this.classifier.classify(text);
      const wished = { ...found.hint, ...withoutUndefined(options) };
      const dependencies = await this.classifier.dependencies(text);
      const statement = this.requests.apart(query, values);
      const call = { scope, statement, options: wished, entry, signal: undefined };
      const known = {
        found,
        dependencies,
        digest: this.classifier.digest(text),
        cache: await this.cache?.explain(call),
        live: await this.live.explain(text),
      };
      return explain(this.fleet, known, this.requests.read(scope, wished, entry, undefined), entry.startedAt);
    }, options.signal);
  }
}
