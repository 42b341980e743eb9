/**
 * One server: its pool, its control connection, what it last said of itself, and its health. It knows what it was told and forgets it
 * when that may no longer hold; whether that is fresh enough for a read, and who is the primary, is not its business.
 */

import type { Client, Pool, PoolClient } from 'pg';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import type { LadderError } from '../errors.js';
import type { Publisher } from '../events.js';
import type { Lsn } from '../freshness/lsn.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import type { NodeSettings } from '../options/servers.js';
import { cancelByKey } from '../postgres/cancel.js';
import { WaitCancelled } from '../postgres/errors.js';
import { printable } from '../printable.js';
import { logsOnly } from '../redaction.js';
import { ResponseTime } from '../routing/balance.js';
import { Load } from '../routing/load.js';
import { hashOf } from '../routing/partition.js';
import type { Candidate } from '../routing/route.js';
import { AdminQueries } from './admin-queries.js';
import { Confirmation } from './confirmation.js';
import { ControlConnection } from './control-connection.js';
import { type CheckedOut, type DataConnection, DataConnections } from './data-connections.js';
import { Ejection, type Health } from './ejection.js';
import { faultOf, wordsOf } from './fault.js';
import { Lane } from './lane.js';
import type { LaneConnection } from './lane-connection.js';
import { Latency } from './latency.js';
import { isDirect, type Observation } from './observation.js';
import type { Past } from './past.js';
import { Probe } from './probe.js';
import { ReplicaPosition } from './replica-position.js';

export type Role = 'primary' | 'replica';

/** Who is told when what is known of a node changes. */
export interface NodeListener {
  /** It has answered. */
  observed(node: Node): void;
  /** Nothing is known of it any more. */
  lost(node: Node): void;
  /** It did not answer in time, although its connection stands. */
  hung(node: Node): void;
  /** It answers, and tells no positions. */
  untracked(node: Node): void;
  /** What it claims was said on a second connection, too. */
  confirmed(node: Node): void;
}

const TOO_MANY_CONNECTIONS = '53300';
/** The statements whose durations `stats()` shows: the latest of those that are timed. */
const TIMED_STATEMENTS = 512;
/** How often one that has left looks whether it is done. */
const LEAVING_MILLIS = 50;
/** Where pg's pool has no setting. */
const DEFAULT_POOL_MAX = 10;

export class Node implements Candidate {
  readonly name: string;
  readonly hash: number;
  weight: number;
  isNear: boolean;
  readonly pool: Pool;
  readonly capacity: number;
  /** Whether the library made it, and ends it. */
  readonly ownsPool: boolean;
  /** By what the servers say; a first guess before. */
  role: Role;
  readonly load = new Load();
  statementCount = 0;
  /** Reads placed on it, and not abandoned. */
  readCount = 0;
  /** When it first answered, by our monotonic clock; `undefined` before. */
  heardSince: number | undefined;
  /** Whether its first question has been settled, with an answer or without. */
  wasAsked = false;
  /** Its role, where it answers and tells no positions. */
  untracked: Role | undefined;
  hasLeft = false;
  /** Whether it came later than the others. */
  hasJoined = false;
  isEjected = false;
  share = 1;
  readonly statementLatency = new Latency(TIMED_STATEMENTS);
  readonly response = new ResponseTime();
  readonly adminQueries: AdminQueries;
  /** Why it did not answer the last time; `undefined` when it did. */
  lastError: unknown;
  readonly lane: Lane;
  /** Why its word that it takes writes is not believed; `undefined` when it is, or says no such thing. */
  doubt: string | undefined;
  /** Whether a second connection must bear its word out before it counts. */
  needsWord = false;

  readonly #history: PrimaryHistory;
  readonly #position: ReplicaPosition;
  readonly #probe: Probe;
  readonly #publisher: Publisher;
  readonly #settings: Settings;
  readonly #control: ControlConnection;
  readonly #connections: DataConnections;
  readonly #ejection = new Ejection();
  readonly #confirmation: Confirmation;
  readonly #listener: NodeListener;

  #server: string | undefined;
  /** Whether the last answer was waited for in vain. */
  #isSilent = false;
  #hasToldRelaxed = false;
  /** The state that was told last. */
  #told: Health['state'] = 'unknown';

  static {
    logsOnly(Node.prototype, 'Node', ({ name, role, health }) => ({ name, role, state: health.state }));
  }

  constructor(
    { name, weight, zone, pool, ownsPool, lane }: NodeSettings,
    role: Role,
    history: PrimaryHistory,
    settings: Settings,
    publisher: Publisher,
    listener: NodeListener,
  ) {
    this.name = name;
    this.hash = hashOf(name);
    this.role = role;
    this.weight = weight;
    this.isNear = isNear(zone, settings);
    this.pool = pool;
    this.capacity = pool.options?.max ?? DEFAULT_POOL_MAX;
    this.ownsPool = ownsPool;
    this.#history = history;
    this.#position = new ReplicaPosition(history);
    this.#settings = settings;
    this.#publisher = publisher;
    this.#listener = listener;
    const mayRelax = settings.onSerializableDefault === 'repeatableRead';
    this.#control = new ControlConnection(
      pool,
      settings.hangMillis,
      (cause, isHung) => {
        this.void(cause);
        if (!isHung) return;
        this.distrust();
        this.#isSilent = true;
        listener.hung(this);
      },
      mayRelax
        ? () => {
            this.#connections.replaceUnrelaxed();
            this.#tellRelaxed();
          }
        : undefined,
    );
    this.adminQueries = new AdminQueries(this.#control);
    this.#confirmation = new Confirmation(pool, settings, {
      confirmed: () => listener.confirmed(this),
      contradicted: () => {
        // Whoever answers on the next one says anew who it is.
        this.#control.drop('a second connection to it tells otherwise');
        this.failed('a second connection to it tells otherwise');
      },
    });
    this.#probe = new Probe(this.#control, history, this.#position, settings, {
      took: (millis) => {
        const now = performance.now();
        this.response.took(millis, now);
        this.#heard(now);
      },
      answered: (observation) => this.#record(observation),
      untracked: (itsRole) => {
        this.untracked = itsRole;
        listener.untracked(this);
      },
      failed: (error) => this.#unanswered(error),
    });
    const setUp = (client: PoolClient): void | Promise<void> =>
      settings.onConnect?.(client, { name: this.name, role: this.role });
    const changedRole = (): void => void this.observe().catch(() => undefined);
    this.#connections = new DataConnections(pool, {
      hangMillis: settings.hangMillis,
      mayRelax,
      setUp,
      broke: (error) => this.void(wordsOf(error)),
      changedRole,
      isShared: !ownsPool,
      mayName: (client, identity) => settings.namedStatements ?? isDirect(client, identity),
    });
    const { namedStatements } = settings;
    this.lane = new Lane(
      pool,
      { ...settings.lane, isWanted: lane, ownsPool, namedStatements, mayRelax },
      {
        setUp,
        roundTripMillis: () => this.roundTripMillis,
        took: (millis, now, isWhole) => this.response.took(millis, now, isWhole),
        lost: () => this.failed('a shared connection was lost'),
        changedRole,
      },
    );
  }

  /** What the server last said; `undefined` when it has not answered, or may be another one by now. */
  get observation(): Observation | undefined {
    return this.#position.observation;
  }

  get health(): Health {
    const { sentence } = this.#ejection;
    // A replica out of rotation stays that until it answers, however long its time is over.
    if (this.role === 'replica' && sentence !== undefined) return { state: 'ejected', ...sentence };
    if (this.observation === undefined || this.observation.inRecovery === (this.role === 'primary')) {
      return { state: 'unknown' };
    }
    if (this.role === 'primary') return { state: 'live' };
    if (this.lsn === undefined) return { state: 'unknown' };
    const isLate = performance.now() - this.freshAsOf > this.#settings.maxLagMillis;
    if (isLate && this.#history.isTracking) return { state: 'lagging' };
    return this.share < 1 ? { state: 'probation', share: this.share } : { state: 'live' };
  }

  /** Whether it has answered at least once. */
  get hasAnswered(): boolean {
    return this.heardSince !== undefined;
  }

  get ejectionCount(): number {
    return this.#ejection.count;
  }

  /** Whether its server takes no more connections: it is alive, and nothing more can be asked. */
  get isCrowded(): boolean {
    return (this.lastError as { code?: unknown } | undefined)?.code === TOO_MANY_CONNECTIONS;
  }

  get inFlight(): number {
    return this.load.count;
  }

  get responseMillis(): number {
    return this.response.millis;
  }

  get typicalMillis(): number {
    return this.statementLatency.typical;
  }

  get isStalled(): boolean {
    return this.#connections.isStalled;
  }

  /** What it has said in its present life. */
  get past(): Past {
    return this.#position.past;
  }

  /** See {@link ReplicaPosition.hasStrayed}. */
  get hasStrayed(): boolean {
    return this.#position.hasStrayed;
  }

  /** Whether what it claims was said on a second connection, too, or need not be. */
  get isConfirmed(): boolean {
    return !this.needsWord || (this.observation !== undefined && this.#confirmation.isOf(this.observation));
  }

  /** Why no statement of its role goes there; `undefined` when nothing is wrong. */
  get problem(): LadderError | undefined {
    return faultOf(this, this.#history);
  }

  /** See {@link ReplicaPosition.lsn}. */
  get lsn(): Lsn | undefined {
    return this.#position.lsn;
  }

  get freshAsOf(): number {
    return this.#position.freshAsOf;
  }

  get steadyAgeMillis(): number {
    return this.#position.steadyAgeMillis;
  }

  /** See {@link Probe.roundTripMillis}. */
  get roundTripMillis(): number {
    return this.#probe.roundTripMillis;
  }

  /** See {@link Probe.millis}. */
  get probeMillis(): Probe['millis'] {
    return this.#probe.millis;
  }

  /**
   * Asks the server where it stands. Everybody who calls while a question is under way shares the next one, so that an answer
   * always belongs to a question sent after the call. Rejects when there is no answer; what was known is void then.
   */
  observe(): Promise<void> {
    return this.#probe.observe();
  }

  /** As `observe`, for a caller who waits: the process stays alive for the answer, as it does not for the monitor's questions. */
  refresh(): Promise<void> {
    return this.#control.holding(this.observe());
  }

  /** Forgets what the server said: a lost connection may mean that it was restarted, rebuilt or replaced. */
  void(cause: string): void {
    this.#position.void(performance.now());
    this.judge(cause);
    this.#listener.lost(this);
  }

  /** The primary stood at `lsn`, asked at `sentAt`. */
  compare(sentAt: number, lsn: Lsn): void {
    this.#position.compare(sentAt, lsn);
    this.judge('the primary answered');
  }

  /** Asks on a second connection whether it takes writes, and tells the listener when it says the same there. */
  confirm(): void {
    if (this.observation !== undefined) this.#confirmation.ask(this.observation, performance.now());
  }

  /** A connection was lost or could not be had: nothing is known any more, and too many such in a row take it out of rotation. */
  failed(cause: string): void {
    this.#ejection.failed(performance.now(), cause);
    this.void(cause);
  }

  /** As `failed`, unless the error says nothing about the server: a full one is not a dead one. */
  lostBy(error: unknown): void {
    if (error instanceof WaitCancelled) return;
    if ((error as { code?: unknown }).code === TOO_MANY_CONNECTIONS) this.response.failed(performance.now());
    else this.failed('it gave no connection');
  }

  /** What discovery says of it has changed. */
  relabel({ weight, zone }: Pick<NodeSettings, 'weight' | 'zone'>): void {
    this.weight = weight;
    this.isNear = isNear(zone, this.#settings);
  }

  /** It has joined a cluster that is in use: its caches are cold. */
  joined(): void {
    this.hasJoined = true;
    this.#ejection.restarted(performance.now());
    this.judge('it joined');
  }

  /** A statement was answered, if only with an error. */
  succeeded(): void {
    this.#ejection.succeeded();
  }

  /** Takes it out of rotation for a while. */
  eject(cause: string): void {
    this.#ejection.eject(performance.now(), cause);
    this.#probe.forget();
    this.judge(cause);
  }

  /** Lets time pass, and tells of a change of state since the last time. */
  judge(cause: string): void {
    const now = performance.now();
    this.#ejection.pass(now, this.observation?.sentAt ?? Number.NEGATIVE_INFINITY);
    this.#connections.look(now);
    // pg-pool tells nobody who waits when it is ended.
    if (this.pool.ending) this.relieve();
    this.#position.pass(now);
    this.isEjected = this.#ejection.isOut;
    this.share = this.#ejection.share(now);
    const previous = this.#told;
    const { state } = this.health;
    this.#told = state;
    if (state === previous || !this.#publisher.wants('node')) return;
    const told = { node: this.name, role: this.role, state, previous, cause: printable(cause) };
    this.#publisher.publish('node', told);
  }

  /** Takes a connection out of the pool, and knows who answers on it. @param mayWrite whether what will run on it may write */
  checkout(mayWrite: boolean, done: CheckedOut): void {
    this.#connections.checkout(mayWrite, done);
  }

  /** Opens a connection of somebody's own, which may write, and knows who answers on it. */
  adopt(client: Client): Promise<DataConnection> {
    return this.#connections.adopt(client);
  }

  /**
   * A shared connection to the server that was observed; `undefined` when none takes one more statement now.
   * @param freshenMillis how old its position may be before the next statement brings a new one along
   */
  takeLane(now: number, freshenMillis: number): LaneConnection | undefined {
    const seen = this.observation;
    const connection = seen === undefined ? undefined : this.lane.take(seen.identity.server);
    if (connection !== undefined && this.#probe.isDue(now, freshenMillis)) this.locateOn(connection);
    return connection;
  }

  /** Asks where it stands, unless that is known to within so long. Nobody waits for it. */
  freshen(now: number, freshenMillis: number): void {
    const seen = this.observation;
    if (seen === undefined || !this.#probe.isDue(now, freshenMillis)) return;
    const connection = this.lane.take(seen.identity.server);
    if (connection !== undefined) this.locateOn(connection);
    else this.#probe.askAside();
  }

  /**
   * Sends the question where the server stands ahead of what is sent next on a shared connection: no more than that is seen by what follows. The answer
   * counts for the node, and for whoever asks. @param told `undefined` when it was not answered
   */
  locateOn(connection: LaneConnection, told?: (observation: Observation | undefined) => void): void {
    this.#probe.locateOn(connection, told);
  }

  /** See {@link ReplicaPosition.mayHaveMoved}. */
  mayHaveMoved(now: number): boolean {
    return this.#position.mayHaveMoved(now);
  }

  /** See {@link ReplicaPosition.judgeGate}. */
  judgeGate(seen: Observation | undefined, wasOpen: boolean): void {
    this.#position.judgeGate(seen, wasOpen);
  }

  /** Ends the connections of a server that hangs or was superseded. @param sparesWrites leaves those that may write: they may still be answered */
  abandon(sparesWrites: boolean): void {
    this.lane.abandon();
    this.#connections.abandon(new WaitCancelled(`node "${this.name}" does not answer`), sparesWrites);
  }

  /** Nobody knows any more whether its connections still live: it was silent, or the process did not run. */
  distrust(): void {
    this.#connections.suspect();
    this.lane.doubt();
  }

  /** Whether that connection may be dead without anybody having been told. */
  doubts(client: object): boolean {
    return this.#connections.doubts(client);
  }

  /** Asks the server to stop what runs on that connection; it may have ended by itself. */
  cancel(connection: DataConnection): void {
    connection.wasCancelled = true;
    if (connection.isDirect) this.adminQueries.cancel(connection.identity.pid);
    else connection.cancelling ??= cancelByKey(this.pool, connection.client, this.#settings.hangMillis);
  }

  /** Sends those who wait for a connection of a pool that stands still elsewhere. */
  relieve(): void {
    this.#connections.sendAway(new WaitCancelled(`no connection of node "${this.name}" has become free`));
  }

  /** Asks on a data connection where the server behind that very connection stands; `undefined` when it tells no position. */
  observeOn(connection: DataConnection): Promise<Observation | undefined> {
    return this.#probe.observeOn(connection);
  }

  /** It has left the cluster: nothing new comes here, and when the last statement has ended, it closes. */
  async leave(): Promise<void> {
    this.hasLeft = true;
    // Not at once: whoever has chosen it already is on his way.
    const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, LEAVING_MILLIS));
    for (await aWhile(); this.inFlight > 0; await aWhile()) {
      // Only a server that is asked is noticed to hang; its answer is not waited for.
      this.observe().catch(() => undefined);
    }
    await this.close();
  }

  /** Asks the server to stop what runs for us, and sends those who wait for a connection away. */
  cancelAll(): void {
    for (const connection of this.#connections.taken) this.cancel(connection);
    this.#connections.sendAway(new WaitCancelled('the cluster is closed'));
  }

  /** Closes all connections that serve us, with what has not stopped. */
  dropAll(): void {
    this.lane.abandon();
    if (this.ownsPool) this.#connections.abandon(new WaitCancelled('the cluster is closed'), false);
    else this.#connections.dropTaken();
  }

  /** Ends what the library opened; a pool that was handed in stays open. A server that hangs answers no goodbye and gets none. */
  async close(): Promise<void> {
    const impatient = setTimeout(
      () => (this.ownsPool ? this.abandon(false) : this.lane.abandon()),
      this.#settings.hangMillis,
    );
    await Promise.all([
      this.#control.close(),
      this.#confirmation.close(),
      this.lane.close(),
      this.ownsPool && !this.pool.ending ? this.pool.end() : undefined,
    ]);
    clearTimeout(impatient);
    this.#connections.close(this.ownsPool);
  }

  /** It has answered on the library's own connection. */
  #heard(now: number): void {
    const isElsewhere = this.#isSilent;
    this.#isSilent = false;
    this.lane.giveUpSilent(now, isElsewhere, (connection) => this.locateOn(connection));
    this.#connections.judge(this.adminQueries, isElsewhere);
  }

  /** Once: each new connection would say the same. */
  #tellRelaxed(): void {
    if (this.#hasToldRelaxed || !this.#publisher.wants('warning')) return;
    this.#hasToldRelaxed = true;
    this.#publisher.publish('warning', {
      code: 'serializable-default',
      message:
        `default_transaction_isolation is serializable, which node "${this.name}" refuses as a replica: reads run REPEATABLE READ there, ` +
        "as onSerializableDefault: 'repeatableRead' allows",
    });
  }

  #unanswered(error: unknown): void {
    this.lastError = error;
    this.wasAsked = true;
    const cause = printable(wordsOf(error));
    if (this.isCrowded || this.untracked !== undefined) this.void(cause);
    else this.failed(cause);
  }

  #record(observation: Observation | undefined): void {
    this.wasAsked = true;
    if (!this.#position.record(observation, performance.now())) return;
    this.lastError = undefined;
    this.heardSince ??= performance.now();
    if (observation !== undefined) this.#recognise(observation.identity.server);
    this.#listener.observed(this);
    this.judge('it answered');
  }

  #recognise(server: string): void {
    if (this.#server !== undefined && this.#server !== server) this.#ejection.restarted(performance.now());
    this.#server = server;
  }
}

function isNear(zone: string | undefined, settings: Settings): boolean {
  return zone !== undefined && zone === settings.zone;
}
