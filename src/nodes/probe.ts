/**
 * Asks a server where it stands: on the library's own connection, ahead of what is sent on a shared one, or on a connection that somebody was given. What its answers mean is
 * for the node to say.
 */

import { performance } from '../clock.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import { InvalidAnswer, refusesSerializable } from '../postgres/errors.js';
import { PROBE, PROBE_ROLE, REPLICA_TIMELINE } from '../postgres/own-statements.js';
import { plainTypes, question } from '../postgres/plain-types.js';
import { Profile } from '../statements/profile.js';
import type { ControlConnection } from './control-connection.js';
import type { DataConnection } from './data-connections.js';
import type { LaneConnection } from './lane-connection.js';
import { Latency } from './latency.js';
import { type Identity, type Observation, observationFrom, type ProbeRow, shownTimelineFrom } from './observation.js';
import type { ReplicaPosition } from './replica-position.js';

/** Who is told what the library's own connection brings. */
export interface ProbeListener {
  /** An answer came that soon. */
  took(millis: number): void;
  /** What the server says of itself; `undefined` where it tells no position. */
  answered(observation: Observation | undefined): void;
  /** It answers, and knows no positions at all. */
  untracked(role: 'primary' | 'replica'): void;
  failed(error: unknown): void;
}

/** Answers whose median is a node's latency: enough to outvote a held-up event loop. */
const ANSWERS = 5;

export class Probe {
  /** The shortest that an answer has taken, in milliseconds: the way there and back, and next to nothing on the server. */
  roundTripMillis = Number.POSITIVE_INFINITY;
  readonly #control: ControlConnection;
  readonly #history: PrimaryHistory;
  readonly #position: ReplicaPosition;
  readonly #settings: Settings;
  readonly #listener: ProbeListener;
  /** Of the library's own small question, the same for every node. */
  readonly #latency = new Latency(ANSWERS);
  readonly #profile = new Profile(PROBE);
  #bestMillis = Number.POSITIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isLocating = false;

  constructor(
    control: ControlConnection,
    history: PrimaryHistory,
    position: ReplicaPosition,
    settings: Settings,
    listener: ProbeListener,
  ) {
    this.#control = control;
    this.#history = history;
    this.#position = position;
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

  /** See {@link Node.observe}. */
  observe(): Promise<void> {
    if (this.#asking === undefined) return this.#ask();
    const again = (): Promise<void> => this.#ask();
    this.#next ??= this.#asking.then(again, again);
    return this.#next;
  }

  /** Whether the newest answer is older than so many milliseconds, and none is on its way along with a statement. */
  isDue(now: number, freshenMillis: number): boolean {
    const seen = this.#position.observation;
    return seen !== undefined && now - seen.sentAt > freshenMillis && !this.#isLocating && this.#history.isTracking;
  }

  /** Asks by itself what is asked by nobody yet. Nobody waits for it. */
  askAside(): void {
    if (this.#asking === undefined) this.observe().catch(() => undefined);
  }

  /** See {@link Node.locateOn}. */
  locateOn(connection: LaneConnection, told?: (observation: Observation | undefined) => void): void {
    const sentAt = performance.now();
    this.#isLocating = true;
    const statement = { text: this.#text, values: [], rowMode: undefined, types: plainTypes };
    connection.send(statement, this.#profile, (error, result) => {
      this.#isLocating = false;
      // It counts for the node whoever asked: an argument of a call that is left out would never be worked out.
      const row = result?.rows[0] as ProbeRow | undefined;
      const observation = error === null ? this.#locatedBy(row, connection, sentAt) : undefined;
      told?.(observation);
    });
  }

  /** See {@link Node.observeOn}. */
  async observeOn({ client, identity }: DataConnection): Promise<Observation | undefined> {
    const sentAt = performance.now();
    const { rows } = await client.query<ProbeRow>(question(this.#text));
    return this.#read(rows[0], identity, sentAt);
  }

  #locatedBy(row: ProbeRow | undefined, { identity }: LaneConnection, sentAt: number): Observation | undefined {
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
    const asking = this.#probe().finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    this.#asking = asking;
    return asking;
  }

  async #probe(): Promise<void> {
    try {
      const sentAt = performance.now();
      const name = this.#history.isTracking ? 'ladder_probe' : 'ladder_role';
      const { rows, identity, tookMillis } = await this.#control.query<ProbeRow>(this.#text, undefined, name);
      this.#latency.add(tookMillis);
      this.roundTripMillis = Math.min(this.roundTripMillis, tookMillis);
      this.#listener.took(tookMillis);
      const [row] = rows;
      if (row?.in_recovery === true) await this.#learnTimeline();
      this.#listener.answered(this.#read(row, identity, sentAt));
    } catch (error) {
      // Whoever answers on the next one says anew who it is.
      if (error instanceof InvalidAnswer) this.#control.drop(error.message);
      if (this.#history.isTracking && isUnsupported(error)) await this.#untrack().catch(() => undefined);
      this.#listener.failed(error);
      throw error;
    }
  }

  /** It answers, if not what it was asked: at least its role can be had. */
  async #untrack(): Promise<void> {
    const { rows } = await this.#control.query<ProbeRow>(PROBE_ROLE, undefined, 'ladder_role');
    this.#listener.untracked(rows[0]?.in_recovery === false ? 'primary' : 'replica');
  }

  /** A replica that was shown to be on the primary's timeline stays on it until the primary leaves it. */
  async #learnTimeline(): Promise<void> {
    const { timelines, claimedTimeline } = this.#history;
    const timeline = Math.max(timelines.timeline, claimedTimeline);
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
