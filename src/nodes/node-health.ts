/**
 * Whether a node is in rotation, by how its connections and statements fare, and what `stats()` calls its state. It
 * asks no server; whether a replica is fresh enough for a read is decided elsewhere.
 */
import { performance } from '../clock.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import { WaitCancelled } from '../postgres/errors.js';
import { printable } from '../printable.js';
import type { Publisher } from '../publisher.js';
import type { ResponseTime } from '../routing/balance.js';
import { Ejection, type Health } from './ejection.js';
import { wordsOf } from './fault.js';
import type { NodeConnections } from './node-connections.js';
import type { Observation } from './observation.js';
import { Refusals } from './refusals.js';
import type { ReplicaPosition } from './replica-position.js';

const TOO_MANY_CONNECTIONS = '53300';

/** Whose health it is. */
export interface Patient {
  readonly name: string;
  readonly role: 'primary' | 'replica';
  readonly position: ReplicaPosition;
  readonly connections: NodeConnections;
  readonly load: { readonly response: ResponseTime };
}

/** What the node's cluster adds. */
export interface HealthSurroundings {
  readonly history: PrimaryHistory;
  readonly settings: Settings;
  readonly publisher: Publisher;
  /** Called when nothing is known of the server any more. */
  readonly onForgotten: () => void;
}

export class NodeHealth {
  /** Out of rotation. */
  isEjected = false;
  /** The share of its weight that it may carry, above 0 and up to 1. */
  share = 1;
  /** How it answers those who ask for a connection. */
  readonly refusals = new Refusals();
  /** When it first answered, by our monotonic clock; `undefined` before. */
  answeredSince: number | undefined;
  /** Why it did not answer the last time; `undefined` when it did. */
  lastError: unknown;
  /** Whether it joined a cluster that was in use already. */
  hasJoined = false;
  readonly #patient: Patient;
  readonly #surroundings: HealthSurroundings;
  readonly #ejection = new Ejection();
  #server: string | undefined;
  /** The state in the latest event. */
  #published: Health['state'] = 'unknown';

  constructor(patient: Patient, surroundings: HealthSurroundings) {
    this.#patient = patient;
    this.#surroundings = surroundings;
  }

  get current(): Health {
    const { role, position } = this.#patient;
    const { sentence } = this.#ejection;
    // An ejected replica stays so until it answers, even after its time is up.
    if (role === 'replica' && sentence !== undefined) return { state: 'ejected', ...sentence };
    const { observation } = position;
    if (observation === undefined || observation.inRecovery === (role === 'primary')) return { state: 'unknown' };
    if (role === 'primary') return { state: 'live' };
    if (position.lsn === undefined) return { state: 'unknown' };
    const { history, settings } = this.#surroundings;
    const isLate = performance.now() - position.freshAsOf > settings.maxLagMillis;
    if (isLate && history.isTracking) return { state: 'lagging' };
    return this.share < 1 ? { state: 'probation', share: this.share } : { state: 'live' };
  }

  /** Whether it has answered at least once. */
  get hasAnswered(): boolean {
    return this.answeredSince !== undefined;
  }

  get ejectionCount(): number {
    return this.#ejection.count;
  }

  /** Whether its server takes no more connections: it is alive, and cannot be asked. */
  get isCrowded(): boolean {
    return isCrowd(this.lastError);
  }

  /** Lets time pass, and publishes a change of state since the last time. @param cause of the change, for the event */
  assess(cause: string): void {
    const { name, role, position, connections } = this.#patient;
    const { publisher } = this.#surroundings;
    const now = performance.now();
    this.#ejection.pass(now, position.observation?.sentAt ?? Number.NEGATIVE_INFINITY);
    connections.pass(now);
    position.pass(now);
    this.isEjected = this.#ejection.isOut;
    this.share = this.#ejection.share(now);
    const previous = this.#published;
    const { state } = this.current;
    this.#published = state;
    if (state === previous || !publisher.wants('node')) return;
    publisher.publish('node', { node: name, role, state, previous, cause: printable(cause) });
  }

  /** The server answered. @param observation `undefined` where it tells no position */
  answered(observation: Observation | undefined): void {
    // It takes connections again.
    if (this.lastError !== undefined || this.isEjected) this.refusals.forget();
    this.lastError = undefined;
    this.answeredSince ??= performance.now();
    if (observation === undefined) return;
    const { server } = observation.identity;
    if (this.#server !== undefined && this.#server !== server) this.#ejection.restarted(performance.now());
    this.#server = server;
  }

  /** The server did not answer. @param isUntracked whether it answers, and tells no positions */
  unanswered(error: unknown, isUntracked: boolean): void {
    this.lastError = error;
    const cause = printable(wordsOf(error));
    if (this.isCrowded || isUntracked) this.forget(cause);
    else this.failed(cause);
  }

  /** Forgets what the server said: after a lost connection it may have been restarted, rebuilt or replaced. */
  forget(cause: string): void {
    this.#patient.position.void(performance.now());
    this.assess(cause);
    this.#surroundings.onForgotten();
  }

  /** A connection was lost or could not be opened: nothing is known any more. Too many such in a row eject the node. */
  failed(cause: string): void {
    this.#ejection.failed(performance.now(), cause);
    this.forget(cause);
  }

  /** It gave no connection. Like `failed`, unless the error says nothing about the server: a full one is not a dead one. */
  gaveNoConnection(error: unknown): void {
    if (error instanceof WaitCancelled) return;
    const now = performance.now();
    this.refusals.failed(error, now);
    if (isCrowd(error)) this.#patient.load.response.failed(now);
    else this.failed('it gave no connection');
  }

  /** A statement was answered, if only with an error. */
  succeeded(): void {
    this.#ejection.succeeded();
  }

  /** Takes it out of rotation for a while. */
  eject(cause: string): void {
    this.#ejection.eject(performance.now(), cause);
    this.assess(cause);
  }

  /** It has joined a cluster that is in use: its caches are cold. */
  joined(): void {
    this.hasJoined = true;
    this.#ejection.restarted(performance.now());
    this.assess('it joined');
  }
}

function isCrowd(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === TOO_MANY_CONNECTIONS;
}
