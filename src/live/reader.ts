/**
 * Runs a live query once, on the cheapest server that shows what it must, and makes what it gave a
 * reading. It runs in the background, as a session of its own: so no reading is older than one
 * before it, whatever server answers.
 */
import { inBackground } from '../async-context.js';
import { CacheEntry } from '../cache/entry.js';
import { KeptAnswer } from '../cache/kept-answer.js';
import { rawStatement } from '../cache/lookup.js';
import { particularsOf } from '../cache/particulars.js';
import type { RawField, RawRow } from '../cache/raw-answer.js';
import type { CachedText, CachedTexts } from '../cache/texts.js';
import type { ChangePosition } from '../change-source.js';
import type { Changes } from '../changes/changes.js';
import type { TableDependence } from '../changes/dependence.js';
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import { textOf } from '../execute/call.js';
import type { Gate } from '../execute/gate.js';
import { read } from '../execute/read.js';
import type { Requests } from '../execute/requests.js';
import { type RouteRecord, routeRecordOf } from '../execute/route.js';
import type { Fleet } from '../nodes/fleet.js';
import type { ReadOptions } from '../options/calls.js';
import { isRaw } from '../postgres/raw-results.js';
import type { SessionScope } from '../session/scope.js';
import type { Reading } from './live-state.js';
import { digestOf } from './state-id.js';
import { isOfLog, type Subject } from './subject.js';

export interface ReaderGround {
  readonly fleet: Fleet;
  readonly gate: Gate;
  readonly requests: Requests;
  readonly texts: CachedTexts;
  /** `undefined` where no changes are heard. */
  readonly changes: Changes | undefined;
}

export class Reader {
  readonly #ground: ReaderGround;

  constructor(ground: ReaderGround) {
    this.#ground = ground;
  }

  /**
   * @param text what is known of the subject's text now
   * @param scope its session: whose floor says what it must show
   * @throws as a read does
   */
  read(
    subject: Subject,
    text: CachedText,
    scope: SessionScope,
    options: ReadOptions,
    signal: AbortSignal,
  ): Promise<Reading> {
    const { gate, requests, fleet } = this.#ground;
    return inBackground(() =>
      gate.run(async (entry) => {
        const primaryAt = fleet.history.position;
        const { values, statement: asked } = subject;
        const statement = rawStatement({ call: { statement: asked }, values, families: text.families });
        const request = requests.readStatement(scope, options, entry, signal, statement);
        const result = await read(request);
        const record = routeRecordOf(result);
        if (record?.source === undefined || !isRaw(result))
          throw new LadderError(
            'LADDER_INVALID_OPTIONS',
            'watch: expected connections of pg itself, whose answers come as they travel: another driver stands beneath',
          );
        const fields = result.fields as RawField[];
        const columns = text.columnsOf(fields, record.source.types);
        const rows = (result.rows as unknown as RawRow[]).slice();
        const answer = new KeptAnswer(result.command, result.rowCount, columns, rows);
        return {
          answer,
          record,
          entry: this.#entryOf(subject, text, answer, record, request.startedAt),
          digest: digestOf(answer.raw()),
          askedAt: request.startedAt,
          endedAt: performance.now(),
          families: text.families,
          primaryAt: record.role === 'replica' ? undefined : primaryAt,
        };
      }),
    );
  }

  /** Only an answer of a replica has a position that says what it shows; see rule 31. */
  #entryOf(
    { tables, values }: Subject,
    text: CachedText,
    answer: KeptAnswer,
    { role, lsn, timeline, source, node }: RouteRecord,
    askedAt: number,
  ): CacheEntry | undefined {
    const { history } = this.#ground.fleet;
    const { clusterId } = history;
    if (role !== 'replica' || lsn === undefined || clusterId === undefined || source === undefined) return undefined;
    if (!isOfLog(text, tables)) return undefined;
    const isPresent = timeline === history.timelines.timeline;
    const freshAsOf = isPresent ? history.clock.freshAsOf(lsn) : Number.NEGATIVE_INFINITY;
    const origin = {
      node,
      server: source.server,
      clusterId,
      timeline,
      validFrom: lsn,
      seenUpTo: undefined,
      upperBound: undefined,
      freshAsOf,
      askedAt,
      endedAt: performance.now(),
    };
    const particulars = particularsOf(text, { tags: [], named: tables, costMillis: 0 }, values, this.#ground.changes);
    return new CacheEntry(answer, origin, particulars, history);
  }

  /** What an answer has to show: the latest change of what it depends on, as far as that is known. */
  latestChange(tables: readonly TableDependence[]): ChangePosition | undefined {
    return this.#ground.changes?.lastChange(tables);
  }

  /** What is known of its text now. */
  textOf({ statement }: Subject): Promise<CachedText> {
    const { texts } = this.#ground;
    const text = textOf(statement.query);
    const known = texts.known(text);
    return known === undefined ? texts.learn(text) : Promise.resolve(known);
  }

  get fleet(): Fleet {
    return this.#ground.fleet;
  }
}
