/**
 * One server: its pool, its control connection and what it last said of itself. It knows what it was told and forgets it
 * when that may no longer hold; whether that is fresh enough for a read is not its business.
 */
import type { Pool, PoolClient } from 'pg';
import { LadderError } from '../errors.js';
import type { Publisher } from '../events.js';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import type { PrimaryTrail } from '../freshness/primary-trail.js';
import type { NodeSettings, Settings } from '../options.js';
import type { Candidate } from '../routing/route.js';
import { CheckoutQueue } from './checkout-queue.js';
import { ControlConnection, dropSocket } from './control-connection.js';
import type { DataConnection } from './data-connection.js';
import {
  type IdentityRow,
  identityFrom,
  type Observation,
  observationFrom,
  type ProbeRow,
  replayedLsn,
} from './observation.js';
import {
  BACKEND_ALIVE,
  CANCEL_BACKEND,
  COMMITTED_AMONG,
  IDENTITY,
  nudge,
  PROBE,
  PROBE_ROLE,
  REPLICA_TIMELINE,
  SNAPSHOT,
} from './statements.js';

export type Role = 'primary' | 'replica';
export type NodeState = 'unknown' | 'live' | 'lagging';

/** Who is told when what is known of a node changes. */
export interface NodeListener {
  /** It has answered. */
  observed(node: Node): void;
  /** Nothing is known of it any more. */
  lost(node: Node): void;
  /** It did not answer in time, although its connection stands. */
  hung(node: Node): void;
}

/** Which transactions a server shows. */
export interface TransactionSnapshot {
  /** Above the newest transaction that has finished there. */
  readonly next: bigint;
  /** Those below it that have not; a replica lists none. */
  readonly unfinished: readonly string[];
}

export class Node implements Candidate {
  readonly name: string;
  readonly role: Role;
  readonly weight: number;
  readonly pool: Pool;
  inFlight = 0;
  statementCount = 0;

  readonly #trail: PrimaryTrail;
  readonly #publisher: Publisher;
  readonly #settings: Settings;
  readonly #ownsPool: boolean;
  readonly #control: ControlConnection;
  readonly #connections = new Map<PoolClient, DataConnection | undefined>();
  readonly #queue = new CheckoutQueue();
  readonly #listener: NodeListener;
  readonly #probeText: string;
  readonly #onIdleError = (error: Error): void => this.void(error.message);

  #lastError: unknown;
  #observation: Observation | undefined;
  #freshAsOf = Number.NEGATIVE_INFINITY;
  #freshIn = -1;
  #shownTimeline = 0;
  /** The state that was told last. */
  #told: NodeState = 'unknown';
  #asking: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #voidedAt = Number.NEGATIVE_INFINITY;
  #nudgedAt = Number.NEGATIVE_INFINITY;
  /** Nudges that made this server write. */
  nudgeCount = 0;
  /** Whether it has answered at least once. */
  hasAnswered = false;

  constructor(
    { name, weight, pool, ownsPool }: NodeSettings,
    role: Role,
    trail: PrimaryTrail,
    settings: Settings,
    publisher: Publisher,
    listener: NodeListener,
  ) {
    this.name = name;
    this.role = role;
    this.weight = weight;
    this.pool = pool;
    this.#ownsPool = ownsPool;
    this.#trail = trail;
    this.#settings = settings;
    this.#publisher = publisher;
    this.#listener = listener;
    this.#probeText = settings.tracking === 'window' ? PROBE_ROLE : PROBE;
    this.#control = new ControlConnection(pool, settings.hangMillis, (cause, isHung) => {
      this.void(cause);
      if (isHung) listener.hung(this);
    });
    // pg kills the process when an idle connection breaks and nobody listens.
    pool.on('error', this.#onIdleError);
  }

  /** What the server last said; `undefined` when it has not answered, or may be another one by now. */
  get observation(): Observation | undefined {
    return this.#observation;
  }

  get state(): NodeState {
    if (this.#observation === undefined) return 'unknown';
    if (this.role === 'primary') return this.#observation.inRecovery ? 'unknown' : 'live';
    if (this.lsn === undefined) return 'unknown';
    if (this.#settings.tracking === 'window') return 'live';
    return performance.now() - this.freshAsOf > this.#settings.maxLagMillis ? 'lagging' : 'live';
  }

  /** Why no statement of its role goes there; `undefined` when nothing is wrong. */
  get problem(): LadderError | undefined {
    const seen = this.#observation;
    const is = `node "${this.name}"`;
    if (seen === undefined) {
      return new LadderError('LADDER_NODE_UNREACHABLE', `${is} does not answer; see cause`, { cause: this.#lastError });
    }
    if (this.role === 'primary') {
      if (!seen.inRecovery) return undefined;
      return new LadderError('LADDER_NOT_PRIMARY', `${is} is configured as the primary and is a replica`);
    }
    const { clusterId } = this.#trail;
    if (clusterId !== undefined && seen.identity.clusterId !== clusterId) {
      const ids = `expected system identifier ${clusterId}, got ${seen.identity.clusterId}`;
      return new LadderError('LADDER_FOREIGN_NODE', `${is} belongs to another cluster than the primary: ${ids}`);
    }
    if (!seen.inRecovery)
      return new LadderError('LADDER_WRONG_ROLE', `${is} is configured as a replica and is a primary`);
    if (this.lsn !== undefined) return undefined;
    return new LadderError(
      'LADDER_NODE_UNREACHABLE',
      `${is} is not shown to follow the primary's timeline ${this.#trail.history.timeline}: wait, or grant pg_read_all_stats`,
    );
  }

  /** How far a replica has replayed the primary's own history; `undefined` while it is not proven that it follows it. */
  get lsn(): Lsn | undefined {
    return replayedLsn(this.#observation, this.#trail);
  }

  get freshAsOf(): number {
    const { clock } = this.#trail;
    if (this.#freshIn !== clock.version) {
      const lsn = this.lsn;
      this.#freshAsOf = lsn === undefined ? Number.NEGATIVE_INFINITY : clock.freshAsOf(lsn);
      this.#freshIn = clock.version;
    }
    return this.#freshAsOf;
  }

  /**
   * Asks the server where it stands. Everybody who calls while a question is under way shares the next one, so that an answer
   * always belongs to a question sent after the call. Rejects when there is no answer; what was known is void then.
   */
  observe(): Promise<void> {
    if (this.#asking === undefined) return this.#ask();
    const again = (): Promise<void> => this.#ask();
    this.#next ??= this.#asking.then(again, again);
    return this.#next;
  }

  /** As `observe`, for a caller who waits: the process stays alive for the answer, as it does not for the monitor's questions. */
  refresh(): Promise<void> {
    return this.#control.holding(this.observe());
  }

  /** Forgets what the server said: a lost connection may mean that it was restarted, rebuilt or replaced. */
  void(cause: string): void {
    this.#observation = undefined;
    this.#voidedAt = performance.now();
    this.#shownTimeline = 0;
    this.#freshIn = -1;
    this.judge(cause);
    this.#listener.lost(this);
  }

  /** Tells of a change of state since the last time. */
  judge(cause: string): void {
    const previous = this.#told;
    const { state } = this;
    this.#told = state;
    if (state === previous || !this.#publisher.wants('node')) return;
    this.#publisher.publish('node', { node: this.name, role: this.role, state, previous, cause });
  }

  /**
   * Takes a connection out of the pool, and knows who answers on it.
   * @throws pg's error when there is no connection
   */
  checkout(): Promise<DataConnection> {
    const connecting = this.pool.connect().then((client) => this.#connections.get(client) ?? this.#introduce(client));
    return this.role === 'primary' ? connecting : this.#queue.wait(connecting);
  }

  /** Ends every connection of a server that hangs, so that whoever waits for it finds another: nobody else would ever tell them. */
  abandon(): void {
    for (const client of this.#connections.keys()) dropSocket(client);
    const error = new Error(`node "${this.name}" does not answer`);
    this.#queue.sendAway(error);
  }

  /** Asks on a data connection where the server behind that very connection stands; `undefined` when it tells no position. */
  async observeOn({ client, identity }: DataConnection): Promise<Observation | undefined> {
    const sentAt = performance.now();
    const { rows } = await client.query<ProbeRow>(this.#probeText);
    const { assumeSynchronousCommit } = this.#settings;
    return observationFrom(rows[0] as ProbeRow, identity, sentAt, this.#shownTimeline, assumeSynchronousCommit);
  }

  /** Makes a primary flush its log up to `lsn` if it has not. At most one in 5 ms, whoever asks. */
  async nudge(lsn: Lsn): Promise<void> {
    const version = this.#observation?.identity.version;
    const now = performance.now();
    if (version === undefined || now - this.#nudgedAt < 5) return;
    this.#nudgedAt = now;
    const { rows } = await this.#control.query(nudge(formatLsn(lsn), version));
    this.nudgeCount += rows.length;
  }

  /** Which transactions the server shows. Rejects when it does not say. */
  async snapshot(): Promise<TransactionSnapshot> {
    const { rows } = await this.#control.holding(this.#control.query<{ next: string; unfinished: string[] }>(SNAPSHOT));
    const [{ next, unfinished } = { next: '0', unfinished: [] }] = rows;
    return { next: BigInt(next), unfinished };
  }

  /** Those of the given transactions that this replica shows as committed. Rejects when it does not say. */
  async committedAmong(xids: readonly string[]): Promise<string[]> {
    const { rows } = await this.#control.holding(this.#control.query<{ xid: string }>(COMMITTED_AMONG, [xids]));
    return rows.map(({ xid }) => xid);
  }

  /** Asks the server to stop what that backend is running; it may have ended by itself. */
  cancel(pid: number): void {
    this.#control.query(CANCEL_BACKEND, [pid]).catch(() => undefined);
  }

  /** Whether the backend with that process id still exists. Rejects when the server does not say. */
  async hasBackend(pid: number): Promise<boolean> {
    const { rows } = await this.#control.query(BACKEND_ALIVE, [pid]);
    return rows.length > 0;
  }

  /** Ends what the library opened; a pool that was handed in stays open. */
  async close(): Promise<void> {
    await Promise.all([this.#control.close(), this.#ownsPool && !this.pool.ending ? this.pool.end() : undefined]);
    this.pool.removeListener('error', this.#onIdleError);
    this.#connections.clear();
  }

  async #introduce(client: PoolClient): Promise<DataConnection> {
    // pg-pool stops listening while a client is checked out, and an error that nobody hears kills the process.
    client.on('error', this.#onIdleError);
    client.once('end', () => this.#connections.delete(client));
    this.#connections.set(client, undefined);
    try {
      await this.#settings.onConnect?.(client, { name: this.name, role: this.role });
      const { rows } = await client.query<IdentityRow>(IDENTITY);
      const connection = { client, identity: identityFrom(rows[0] as IdentityRow) };
      this.#connections.set(client, connection);

      return connection;
    } catch (error) {
      client.release(true);
      throw error;
    }
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
      const { rows, identity } = await this.#control.query<ProbeRow>(this.#probeText);
      const row = rows[0] as ProbeRow;
      if (row.in_recovery) await this.#learnTimeline();
      const { assumeSynchronousCommit } = this.#settings;
      this.#record(observationFrom(row, identity, sentAt, this.#shownTimeline, assumeSynchronousCommit));
    } catch (error) {
      this.#lastError = error;
      this.void(error instanceof Error ? error.message : 'no answer');
      throw error;
    }
  }

  /** A replica that was shown to be on the primary's timeline stays on it until the primary leaves it. */
  async #learnTimeline(): Promise<void> {
    const { timeline } = this.#trail.history;
    if (timeline <= 1 || this.#shownTimeline === timeline) return;
    const { rows } = await this.#control.query<{ timeline: number | null }>(REPLICA_TIMELINE);
    this.#shownTimeline = rows[0]?.timeline ?? 0;
  }

  #record(observation: Observation | undefined): void {
    // What was asked before a connection was lost may have been answered by the server's earlier life.
    if (observation !== undefined && observation.sentAt <= this.#voidedAt) return;
    this.#observation = observation;
    this.hasAnswered = true;
    this.#freshIn = -1;
    if (this.role === 'primary' && observation !== undefined && !observation.inRecovery) {
      const { sentAt, timeline, lsn, forkLsn, identity } = observation;
      this.#trail.add({ sentAt, timeline, lsn, forkLsn, clusterId: identity.clusterId, startedAt: identity.startedAt });
    }
    this.judge('it answered');
    this.#listener.observed(this);
  }
}
