/**
 * Asks a server where it stands: on the library's own connection, ahead of a statement on a shared one, or on a
 * connection that is checked out. What follows from the answers is decided by the node.
 */

import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import { InvalidAnswer, refusesSerializable } from '../postgres/errors.js';
import { PROBE, PROBE_ROLE, REPLICA_TIMELINE } from '../postgres/own-statements.js';
import { plainTypes, question } from '../postgres/plain-types.js';
import { Profile } from '../statements/profile.js';
import type { ControlConnection } from './control-connection.js';
import type { DataConnection } from './data-connection.js';
import type { Lane } from './lane.js';
import type { LaneConnection, Settle } from './lane-connection.js';
import { Latency } from './latency.js';
import { type Identity, type Observation, observationFrom, type ProbeRow, shownTimelineFrom } from './observation.js';
import type { ReplicaPosition } from './replica-position.js';

/** What the node does about answers. */
export interface ProbeListener {
  /** Called with how long an answer took. */
  took(millis: number): void;
  /** Called with what the server says of itself; `undefined` where it tells no position. */
  answered(observation: Observation | undefined): void;
  /** Called when it answers, and knows no positions at all. */
  untracked(): void;
  failed(error: unknown): void;
}

/** Told once; `undefined` when there was no answer. */
type Told = (observation: Observation | undefined) => void;

/** A question ahead of reads that are sent in one turn of the event loop on one shared connection. */
interface OpenGate {
  readonly connection: LaneConnection;
  readonly turn: number;
  readonly told: Told[];
}

/** Answers whose median is a node's latency: enough to outvote a held-up event loop. */
const ANSWERS = 5;

export class Probe {
  /** The shortest that an answer has taken, in milliseconds: the way there and back, and next to nothing on the server. */
  roundTripMillis = Number.POSITIVE_INFINITY;
  /** Whether its first question has been settled, with an answer or without. */
  wasAsked = false;
  /** Its role, where it answers and tells no positions. */
  untrackedRole: 'primary' | 'replica' | undefined;
  readonly #control: ControlConnection;
  readonly #history: PrimaryHistory;
  readonly #position: ReplicaPosition;
  readonly #lane: Lane;
  readonly #settings: Settings;
  readonly #listener: ProbeListener;
  /** Of the library's own small question, the same for every node. */
  readonly #latency = new Latency(ANSWERS);
  readonly #profile = new Profile(PROBE);
  #bestMillis = Number.POSITIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isLocating = false;
  #isClosed = false;
  #gate: OpenGate | undefined;

  constructor(
    control: ControlConnection,
    history: PrimaryHistory,
    position: ReplicaPosition,
    lane: Lane,
    settings: Settings,
    listener: ProbeListener,
  ) {
    this.#control = control;
    this.#history = history;
    this.#position = position;
    this.#lane = lane;
    this.#settings = settings;
    this.#listener = listener;
    this.#profile.comesAgain(PROBE);
  }

  /** How long an answer takes lately and at its best, in milliseconds; `undefined` until enough have told. */
  get millis(): { readonly recent: number; readonly best: number } | undefined {
    if (!this.#latency.isFull) return undefined;
    const recent = this.#latency.percentile(0.5) ?? 0;
    this.#bestMillis = Math.min(this.#bestMillis, recent);
    return { recent, best: this.#bestMillis };
  }

  /** Forgets how long answers took lately. */
  forget(): void {
    this.#latency.clear();
  }

  /**
   * Asks the server where it stands. All callers that come while a question is under way share the next one, so an
   * answer always belongs to a question sent after the call. Rejects without an answer; nothing is known then.
   */
  observe(): Promise<void> {
    if (this.#asking === undefined) return this.#ask();
    const again = (): Promise<void> => this.#ask();
    this.#next ??= this.#asking.then(again, again);
    return this.#next;
  }

  /** Like `observe`, for a caller who waits: it keeps the process alive until the answer. */
  refresh(): Promise<void> {
    return this.#control.holding(this.observe());
  }

  /**
   * A shared connection to the server that was observed; `undefined` when none takes one more statement now.
   * @param freshenMillis how old its position may be before the next statement brings a new one along
   */
  takeLane(now: number, freshenMillis: number): LaneConnection | undefined {
    const seen = this.#position.observation;
    const connection = seen === undefined ? undefined : this.#lane.take(seen.identity.server);
    if (connection !== undefined && this.#isDue(now, freshenMillis)) this.locateOn(connection);
    return connection;
  }

  /** Asks where it stands, unless its position is younger than that. The answer is not waited for. */
  freshen(now: number, freshenMillis: number): void {
    const seen = this.#position.observation;
    if (seen === undefined || !this.#isDue(now, freshenMillis)) return;
    const connection = this.#lane.take(seen.identity.server);
    if (connection !== undefined) this.locateOn(connection);
    else if (this.#asking === undefined) this.observe().catch(() => undefined);
  }

  /**
   * Asks where the server stands, ahead of the next statement on a shared connection: that statement sees no less than
   * the answer says. The answer counts for the node, too.
   */
  locateOn(connection: LaneConnection, told?: Told): void {
    const sentAt = performance.now();
    this.#isLocating = true;
    const statement = { text: this.#text, values: [], rowMode: undefined, types: plainTypes };
    const answered: Settle = (error, result) => {
      this.#isLocating = false;
      // It counts for the node also where it was not asked for: the argument of `told?.()` is not evaluated without `told`.
      const row = result?.rows[0] as ProbeRow | undefined;
      const observation = error === null ? this.#recordAnswer(row, connection, sentAt) : undefined;
      told?.(observation);
    };
    inBackground(() => connection.send(statement, this.#profile, answered));
  }

  /**
   * As `locateOn`, shared by all who come in this turn of the event loop: each of their statements is sent
   * behind it on the same connection, so none sees less.
   */
  gateOn(connection: LaneConnection, told: Told): void {
    const open = this.#gate;
    if (open?.connection === connection && open.turn === connection.turn) {
      open.told.push(told);
      return;
    }
    const gate: OpenGate = { connection, turn: connection.turn, told: [told] };
    this.#gate = gate;
    this.locateOn(connection, (observation) => {
      if (this.#gate === gate) this.#gate = undefined;
      for (const one of gate.told) one(observation);
    });
  }

  /** Where the server behind that very connection stands; `undefined` when it tells no position. */
  async observeOn({ client, identity }: DataConnection): Promise<Observation | undefined> {
    const sentAt = performance.now();
    const { rows } = await inBackground(() => client.query<ProbeRow>(question(this.#text)));
    return this.#read(rows[0], identity, sentAt);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#control.close();
  }

  /** Whether the newest answer is older than so many milliseconds, and none is on its way along with a statement. */
  #isDue(now: number, freshenMillis: number): boolean {
    const seen = this.#position.observation;
    return seen !== undefined && now - seen.sentAt > freshenMillis && !this.#isLocating && this.#history.isTracking;
  }

  #recordAnswer(row: ProbeRow | undefined, { identity }: LaneConnection, sentAt: number): Observation | undefined {
    try {
      const observation = this.#read(row, identity, sentAt);
      const seen = this.#position.observation;
      // Which server is this node's, its own connection alone says: a shared one may have been led to another.
      const isNews = seen !== undefined && sentAt > seen.sentAt && identity.server === seen.identity.server;
      if (observation !== undefined && isNews) this.#listener.answered(observation);
      return observation;
    } catch (error) {
      this.#listener.failed(error);
      return undefined;
    }
  }

  get #text(): string {
    return this.#history.isTracking ? PROBE : PROBE_ROLE;
  }

  #ask(): Promise<void> {
    this.#next = undefined;
    // Other callers may wait for the first one's answer.
    const asking = inBackground(() => this.#probe()).finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#asking = asking;
    return asking;
  }

  async #probe(): Promise<void> {
    try {
      const sentAt = performance.now();
      const name = this.#history.isTracking ? 'pgladder_probe' : 'pgladder_role';
      const { rows, identity, tookMillis } = await this.#control.query<ProbeRow>(this.#text, undefined, name);
      this.#latency.add(tookMillis);
      this.roundTripMillis = Math.min(this.roundTripMillis, tookMillis);
      this.#listener.took(tookMillis);
      const [row] = rows;
      if (row?.in_recovery === true) await this.#learnTimeline();
      const observation = this.#read(row, identity, sentAt);
      this.wasAsked = true;
      this.#listener.answered(observation);
    } catch (error) {
      // The server on the next one says anew who it is.
      if (error instanceof InvalidAnswer) this.#control.drop(error.message);
      if (this.#history.isTracking && isUnsupported(error)) await this.#untrack().catch(() => undefined);
      this.wasAsked = true;
      // A question that the end of the cluster has cut off says nothing of the server.
      if (!this.#isClosed) this.#listener.failed(error);
      throw error;
    }
  }

  /** It answers, if not what it was asked: at least its role can be had. */
  async #untrack(): Promise<void> {
    const { rows } = await this.#control.query<ProbeRow>(PROBE_ROLE, undefined, 'pgladder_role');
    this.untrackedRole = rows[0]?.in_recovery === false ? 'primary' : 'replica';
    this.#listener.untracked();
  }

  /** A replica that was shown to be on the primary's timeline stays on it until the primary leaves it. */
  async #learnTimeline(): Promise<void> {
    const { timelines, survey } = this.#history;
    const timeline = Math.max(timelines.timeline, survey.claimedTimeline);
    if (timeline <= 1 || this.#position.shownTimeline === timeline) return;
    const { rows } = await this.#control.query<{ timeline: unknown }>(REPLICA_TIMELINE);
    this.#position.shownTimeline = shownTimelineFrom(rows[0]);
  }

  #read(row: ProbeRow | undefined, identity: Identity, sentAt: number): Observation | undefined {
    const { assumeSynchronousCommit } = this.#settings;
    return observationFrom(row, identity, sentAt, this.#position.shownTimeline, assumeSynchronousCommit);
  }
}

/** A server that is like PostgreSQL, such as Aurora, says so of functions that it does not have: 0A000 or 42883. */
function isUnsupported(error: unknown): boolean {
  return ['0A000', '42883'].includes((error as { code?: string }).code ?? '') && !refusesSerializable(error);
}
