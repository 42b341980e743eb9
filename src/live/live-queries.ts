/**
 * All that is watched in a cluster: equal queries are one, and changes wake those that they concern.
 * It is nothing but a map while nobody watches.
 */
import type { QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { CachedTexts } from '../cache/texts.js';
import type { ChangePosition, TableChange } from '../change-source.js';
import type { Changes } from '../changes/changes.js';
import type { TableDependence } from '../changes/dependence.js';
import { performance } from '../clock.js';
import { invalidOptions, wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import { checkedQuery, type Query, textOf, type Values } from '../execute/call.js';
import type { Context } from '../execute/call-context.js';
import { commitPosition } from '../execute/commit-position.js';
import type { Gate } from '../execute/gate.js';
import type { Requests } from '../execute/requests.js';
import type { SessionTokens } from '../execute/session-tokens.js';
import { Floor } from '../freshness/floor.js';
import type { Position } from '../freshness/position.js';
import type { Fleet } from '../nodes/fleet.js';
import { type WatchOptions, type WatchSettings, watchSettings } from '../options/watch.js';
import { preparedValues } from '../postgres/prepared-query.js';
import type { Publisher } from '../publisher.js';
import { momentOf } from '../session/arrivals.js';
import type { SessionScope } from '../session/scope.js';
import { subjectOf as userOf } from '../session/subject.js';
import type { Classifier } from '../statements/classifier.js';
import { type LiveHome, LiveQuery, type Watcher } from './live-query.js';
import type { LiveState } from './live-state.js';
import { Reader } from './reader.js';
import { parseId, type StateId } from './state-id.js';
import { keyOf, type Subject, subjectOf } from './subject.js';
import { type LiveVerdict, verdictOf } from './verdict.js';
import { WakeIndex } from './wake-index.js';
import type { Watch } from './watch.js';
import { type Begun, Watching } from './watching.js';

/** What they stand on. */
export interface LiveGround {
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly gate: Gate;
  readonly requests: Requests;
  readonly tokens: SessionTokens;
  readonly publisher: Publisher;
  /** `undefined` where no changes are heard. */
  readonly changes: Changes | undefined;
  /** Those of the caches; `undefined` without caches. */
  readonly texts: CachedTexts | undefined;
}

/** A session of its own, that starts from another one, or from nothing. */
export type OpenScope = (start: SessionScope | undefined) => SessionScope;

/** So many run at a time: what all have missed, as after a gap, is no load on servers then. */
const RUNS_AT_ONCE = 8;

export class LiveQueries implements LiveHome {
  readonly #ground: LiveGround;
  readonly #texts: CachedTexts;
  readonly #reader: Reader;
  readonly #queries = new Map<string, LiveQuery>();
  /** Of sessions that only the primary can serve: they are shared with nobody. */
  readonly #own = new Set<LiveQuery>();
  readonly #index = new WakeIndex<LiveQuery>();
  readonly #filed = new Map<LiveQuery, readonly TableDependence[]>();
  readonly #watches = new Set<{ end(): void }>();
  readonly #waiting: (() => void)[] = [];
  #runCount = 0;
  readonly #listener = {
    changed: (changes: readonly TableChange[] | 'all', position: ChangePosition): void => {
      if (changes === 'all') this.#wakeAll(position);
      else this.#index.concerned(changes, (query) => query.wake(position));
    },
    began: (position: ChangePosition): void => this.#wakeAll(position),
  };

  constructor(ground: LiveGround) {
    this.#ground = ground;
    this.#texts = ground.texts ?? new CachedTexts(ground.classifier, [], () => undefined);
    this.#reader = new Reader({ ...ground, texts: this.#texts });
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS`, `LADDER_CLOSED` */
  watch<Row extends QueryResultRow>(
    { scope, transaction }: Context,
    asked: Query,
    given: Values | undefined,
    options: WatchOptions<Row>,
    openScope: OpenScope,
  ): Watch<Row> {
    this.#ground.gate.check();
    if (transaction !== undefined)
      throw invalidOptions('watch: expected to be called outside of transactions; use outsideTransaction()');
    const settings = watchSettings(options);
    const query = checkedQuery(asked);
    const values = preparedValues(given);
    const statement = this.#ground.requests.statement(query, values);
    // What it must show is settled now: the session may write before it begins.
    const floor = new Floor(undefined, scope.readFloor());
    // Nor anything older than what the session has read.
    scope.trace?.raise(floor);
    const watch: Watching<Row> = new Watching<Row>(settings, {
      begin: (watcher) =>
        inBackground(async () => {
          const { classifier } = this.#ground;
          const subject = await subjectOf(statement, settings, classifier, this.#texts);
          return this.#begin(watcher, subject, settings, { floor, scope }, openScope);
        }),
      positionOf: (token) => this.#positionOf(token, scope),
      isUnchanged: (since, state) => this.#isUnchanged(since, state),
      taken: (state) => showTo(scope, state),
      ended: (self) => void this.#watches.delete(self as Watching<Row>),
    });
    this.#watches.add(watch);
    return watch;
  }

  async #begin(
    watcher: Watcher,
    subject: Subject,
    { since: given }: WatchSettings,
    { floor, scope }: { readonly floor: Floor; readonly scope: SessionScope },
    openScope: OpenScope,
  ): Promise<Begun> {
    const { fleet, gate } = this.#ground;
    const { history } = fleet;
    const resolved = floor.resolve(history);
    const known = resolved === 'pending' ? await commitPosition(fleet, floor).catch(() => undefined) : undefined;
    const position = known ?? floor.position(history);
    const isNowhere = typeof resolved === 'string' && known === undefined;
    gate.check();
    const query = isNowhere ? this.#openOwn(subject, openScope(scope)) : this.#open(subject, openScope);
    const joinedAt = performance.now();
    const told = given === undefined ? undefined : parseId(given);
    const since = told?.query === subject.tag ? told : undefined;
    const mustShow = position === undefined || position.lsn === 0n ? undefined : position;
    if (mustShow !== undefined && query.state?.shows(mustShow) !== true) query.require(mustShow);
    // A stranger names it: one of a timeline to come could never be judged.
    if (since?.place !== undefined && since.place.timeline <= history.timelines.timeline) query.require(since.place);
    query.join(watcher);
    return { query, manner: subject, floor: mustShow, since, joinedAt };
  }

  #open(subject: Subject, openScope: OpenScope): LiveQuery {
    const key = keyOf(subject);
    let query = this.#queries.get(key);
    if (query === undefined) {
      query = new LiveQuery(subject, openScope(undefined), this.#reader, this);
      this.#queries.set(key, query);
    }
    this.#listen();
    return query;
  }

  #openOwn(subject: Subject, scope: SessionScope): LiveQuery {
    const query = new LiveQuery(subject, scope, this.#reader, this);
    this.#own.add(query);
    this.#listen();
    return query;
  }

  #listen(): void {
    this.#ground.changes?.listeners.add(this.#listener);
  }

  file(query: LiveQuery, tables: readonly TableDependence[]): void {
    const before = this.#filed.get(query);
    if (before === tables || query.isOver) return;
    if (before !== undefined) this.#index.remove(query, before);
    this.#index.add(query, tables);
    this.#filed.set(query, tables);
  }

  abandoned(query: LiveQuery): void {
    const key = keyOf(query.subject);
    if (this.#queries.get(key) === query) this.#queries.delete(key);
    this.#own.delete(query);
    const filed = this.#filed.get(query);
    if (filed !== undefined) this.#index.remove(query, filed);
    this.#filed.delete(query);
    if (this.#queries.size + this.#own.size === 0) this.#ground.changes?.listeners.delete(this.#listener);
  }

  async enter(): Promise<void> {
    if (this.#runCount < RUNS_AT_ONCE) {
      this.#runCount++;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#runCount--;
    else next();
  }

  failed(query: LiveQuery, error: unknown): void {
    const { publisher } = this.#ground;
    if (!publisher.wants('warning')) return;
    void publisher.digestOf(textOf(query.subject.statement.query)).then((digest) => {
      const message = `a live query could not be run, and is tried again: ${wordFor(error)}`;
      publisher.publish('warning', becauseOf(error, { code: 'watch', message, digest }));
    });
  }

  /** What `explain` says. */
  async explain(text: string): Promise<LiveVerdict> {
    return verdictOf(await this.#texts.learn(text), [], this.#ground.changes);
  }

  /** Ends all of them. */
  close(): void {
    for (const watch of this.#watches) watch.end();
  }

  #wakeAll(position: ChangePosition): void {
    for (const query of this.#queries.values()) query.wake(position);
    for (const query of this.#own) query.wake(position);
  }

  #positionOf(token: string, scope: SessionScope): Position | undefined {
    const { tokens } = this.#ground;
    const subject = scope.tokenSubject();
    const found = tokens.judge(token, userOf(subject), typeof subject === 'function', momentOf());
    return typeof found === 'string' ? undefined : found.position;
  }

  #isUnchanged({ place }: StateId, state: LiveState): boolean | undefined {
    const dependence = state.reading.entry?.particulars.dependence;
    const now = state.place;
    if (place === undefined || now === undefined || dependence === undefined) return undefined;
    if (place.timeline !== now.timeline) return undefined;
    const through = dependence.throughFrom(place.lsn, place.timeline);
    return through === undefined ? undefined : through >= now.lsn;
  }
}

/** The session has seen it: later reads show no less, and what is made of it is nobody else's. */
function showTo({ trace, notes }: SessionScope, { reading }: LiveState): void {
  const { record, endedAt, families } = reading;
  // It may have been read long before: what was read since is seen, too.
  if (trace !== undefined && record.source !== undefined)
    trace.ended(record.source.server, Math.max(endedAt, trace.endedAt), trace.key, families);
  notes?.asked(undefined);
  notes?.saw(undefined, Number.NEGATIVE_INFINITY, undefined);
}
