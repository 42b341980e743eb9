/**
 * One server: its name and role, what the router reads of it for each choice, and its parts. It wires the parts to each
 * other; each decides its own matter. Who is the primary, and which read goes here, is decided elsewhere.
 */

import type { Pool, PoolClient } from 'pg';
import { performance } from '../clock.js';
import type { Lsn } from '../freshness/lsn.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import type { NodeSettings } from '../options/servers.js';
import type { Publisher } from '../publisher.js';
import { logsOnly } from '../redaction.js';
import { hashOf } from '../routing/partition.js';
import type { Candidate } from '../routing/route.js';
import { AdminQueries } from './admin-queries.js';
import { ControlConnection } from './control-connection.js';
import { wordsOf } from './fault.js';
import { NodeConnections } from './node-connections.js';
import { NodeHealth } from './node-health.js';
import { NodeLoad } from './node-load.js';
import type { Observation } from './observation.js';
import { PrimaryClaim } from './primary-claim.js';
import { Probe } from './probe.js';
import { ReplayedTimeline } from './replayed-timeline.js';
import { ReplicaPosition } from './replica-position.js';

export type Role = 'primary' | 'replica';

/** Called when what is known of a node changes. */
export interface NodeListener {
  /** It has answered. */
  observed(node: Node): void;
  /** Nothing is known of it any more. */
  lost(node: Node): void;
  /** It did not answer in time, although its connection stands. */
  hung(node: Node): void;
  /** It answers, and tells no positions. */
  untracked(node: Node): void;
  /** It repeated its claim on a second connection. */
  confirmed(node: Node): void;
  /** Its connections write their answers otherwise than before. */
  sourcesChanged(): void;
}

/** Where pg's pool has no setting. */
const DEFAULT_POOL_MAX = 10;
const CONTRADICTED = 'a second connection to it tells otherwise';

export class Node implements Candidate {
  readonly name: string;
  readonly hash: number;
  weight: number;
  /** Whether it stands where this process does. */
  isNear: boolean;
  readonly pool: Pool;
  readonly capacity: number;
  /** By what the servers say; a first guess before. */
  role: Role;
  readonly load = new NodeLoad();
  readonly position: ReplicaPosition;
  readonly adminQueries: AdminQueries;
  readonly connections: NodeConnections;
  readonly probe: Probe;
  readonly claim: PrimaryClaim;
  readonly health: NodeHealth;

  readonly #listener: NodeListener;
  readonly #publisher: Publisher;
  /** Whether it gave no answer in time since it last answered. */
  #isSilent = false;
  #hasToldRelaxed = false;

  static {
    logsOnly(Node.prototype, 'Node', ({ name, role, health }) => ({ name, role, state: health.current.state }));
  }

  constructor(
    own: NodeSettings,
    role: Role,
    history: PrimaryHistory,
    settings: Settings,
    publisher: Publisher,
    listener: NodeListener,
  ) {
    const { name, weight, zone, pool } = own;
    this.name = name;
    this.hash = hashOf(name);
    this.role = role;
    this.weight = weight;
    this.isNear = isNear(zone, settings.zone);
    this.pool = pool;
    this.capacity = pool.options?.max ?? DEFAULT_POOL_MAX;
    this.#listener = listener;
    this.#publisher = publisher;
    this.position = new ReplicaPosition(history);
    const control = new ControlConnection(
      pool,
      settings.hangMillis,
      (cause, isHung) => this.#controlLost(cause, isHung),
      settings.onSerializableDefault === 'repeatableRead' ? () => this.#relaxed() : undefined,
    );
    this.adminQueries = new AdminQueries(control);
    this.connections = new NodeConnections(own, settings, this.adminQueries, {
      setUp: (client: PoolClient) => settings.onConnect?.(client, { name, role: this.role }),
      onBroken: (error) => this.health.forget(wordsOf(error)),
      onSharedLost: () => this.health.failed('a shared connection was lost'),
      onRoleChange: () => void this.probe.observe().catch(() => undefined),
      onSourcesChange: () => listener.sourcesChanged(),
      roundTripMillis: () => this.probe.roundTripMillis,
      took: (millis, now, isWhole) => this.load.response.took(millis, now, isWhole),
    });
    const replayedTimeline = new ReplayedTimeline(pool, this.position);
    this.probe = new Probe(control, history, this.position, this.connections.lane, settings, {
      took: (millis) => this.#took(millis),
      answered: (observation) => this.#answered(observation),
      untracked: () => listener.untracked(this),
      failed: (error) => this.health.unanswered(error, this.probe.untrackedRole !== undefined),
      hidden: () => replayedTimeline.ask(),
    });
    this.claim = new PrimaryClaim(this.position, pool, settings, {
      onConfirmed: () => listener.confirmed(this),
      onContradicted: () => {
        // The server behind the next connection must identify itself anew.
        control.drop(CONTRADICTED);
        this.health.failed(CONTRADICTED);
      },
    });
    this.health = new NodeHealth(this, { history, settings, publisher, onForgotten: () => listener.lost(this) });
  }

  /** What the server last said; `undefined` when it has not answered, or may be another one by now. */
  get observation(): Observation | undefined {
    return this.position.observation;
  }

  /** See {@link ReplicaPosition.lsn}. */
  get lsn(): Lsn | undefined {
    return this.position.lsn;
  }

  get freshAsOf(): number {
    return this.position.freshAsOf;
  }

  get steadyAgeMillis(): number {
    return this.position.steadyAgeMillis;
  }

  get isEjected(): boolean {
    return this.health.isEjected;
  }

  get share(): number {
    return this.health.share;
  }

  get isStalled(): boolean {
    return this.connections.isStalled;
  }

  get inFlight(): number {
    return this.load.count;
  }

  get responseMillis(): number {
    return this.load.response.millis;
  }

  get typicalMillis(): number {
    return this.load.statementLatency.typical;
  }

  /** Ends what the library opened; a pool that was handed in stays open. */
  async close(): Promise<void> {
    await Promise.all([this.probe.close(), this.claim.close(), this.connections.close()]);
  }

  #answered(observation: Observation | undefined): void {
    if (!this.position.record(observation, performance.now())) return;
    this.health.answered(observation);
    this.#listener.observed(this);
    this.health.assess('it answered');
  }

  /** It has answered on the library's own connection. */
  #took(millis: number): void {
    const now = performance.now();
    this.load.response.took(millis, now);
    const isElsewhere = this.#isSilent;
    this.#isSilent = false;
    this.connections.giveUpSilent(now, isElsewhere, (connection) => this.probe.locateOn(connection));
  }

  #controlLost(cause: string, isHung: boolean): void {
    this.health.forget(cause);
    if (!isHung) return;
    this.connections.suspectAll();
    this.#isSilent = true;
    this.#listener.hung(this);
  }

  /** The library's own connection was set to REPEATABLE READ. One warning: each new connection would say the same. */
  #relaxed(): void {
    this.connections.replaceUnrelaxed();
    if (this.#hasToldRelaxed || !this.#publisher.wants('warning')) return;
    this.#hasToldRelaxed = true;
    this.#publisher.publish('warning', {
      code: 'serializable-default',
      message:
        `default_transaction_isolation is serializable, which node "${this.name}" refuses as a replica: reads run REPEATABLE READ there, ` +
        "as onSerializableDefault: 'repeatableRead' allows",
    });
  }
}

/** Whether a server's zone is that of this process. */
export function isNear(zone: string | undefined, ownZone: string | undefined): boolean {
  return zone !== undefined && zone === ownZone;
}
