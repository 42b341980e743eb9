/**
 * Who takes writes: holds the election whenever something was heard or lost, keeps the primary's history, and tells of every change. It sends nothing
 * by itself, but for a second word of a server that would become the primary.
 */
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import type { TopologyEvent } from '../events.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import type { Publisher } from '../publisher.js';
import { faultOf } from './fault.js';
import type { Node } from './node.js';
import { Suspicions } from './suspicions.js';
import { elect, type Verdict } from './topology.js';

/** Changes that `stats()` tells of. */
const CHANGES_KEPT = 100;

export class Leadership {
  /** The latest changes, the oldest first. */
  readonly changes: TopologyEvent[] = [];
  #nodes: readonly Node[];
  readonly #history: PrimaryHistory;
  readonly #settings: Settings;
  readonly #publisher: Publisher;
  readonly #startedAt = performance.now();
  readonly #suspicions: Suspicions;
  #primary: Node;
  #replicas: readonly Node[];
  #verdict: Verdict<Node> = { is: 'open' };
  /** Whether unknown servers may turn up yet. */
  #isExpecting: boolean;

  constructor(nodes: readonly Node[], history: PrimaryHistory, settings: Settings, publisher: Publisher) {
    this.#nodes = nodes;
    this.#isExpecting = settings.discovery !== undefined;
    this.#history = history;
    this.#settings = settings;
    this.#publisher = publisher;
    this.#suspicions = new Suspicions(history, settings, publisher);
    this.#primary = nodes.find((node) => node.role === 'primary') as Node;
    this.#replicas = nodes.filter((node) => node !== this.#primary);
  }

  /** The server that takes writes, or the last one that did; the first guess before anybody has answered. */
  get primary(): Node {
    return this.#primary;
  }

  get replicas(): readonly Node[] {
    return this.#replicas;
  }

  /** Whether the primary answers, and no other server can claim to be it. */
  get isSettled(): boolean {
    return this.#verdict.is === 'settled';
  }

  /** Whether more than one server claims to be the primary, and none can be told to be right. */
  get isContested(): boolean {
    return this.#verdict.is === 'contested';
  }

  /** Whether a statement may try the primary: it answers, or could not be asked, so that only a try tells what is wrong. */
  get canTry(): boolean {
    const { hasAnswered, isCrowded } = this.#primary.health;
    return this.isSettled || (this.#verdict.is === 'vacant' && (!hasAnswered || isCrowded));
  }

  /** Why no statement may go to the primary; `undefined` while one may. */
  get vacancy(): LadderError | undefined {
    if (this.#verdict.is === 'settled') return undefined;
    const { cluster } = this.#publisher;
    if (this.#verdict.is === 'contested') {
      const names = this.#verdict.between.map(({ name }) => `"${name}"`).join(' and ');
      return new LadderError(
        'LADDER_TWO_PRIMARIES',
        `nodes ${names} of cluster "${cluster}" both take writes, and which one is right cannot be told: nothing was sent. Stop or rebuild one of them`,
      );
    }
    return new LadderError(
      'LADDER_NO_PRIMARY',
      `no node takes writes in cluster "${cluster}": nothing was sent. See cause for the last one that did, and stats() for all`,
      { cause: faultOf(this.#primary, this.#history) },
    );
  }

  /** A node has answered. @returns whether everybody should be asked now, since what they said before belongs to a history that was not known yet */
  heard(node: Node): boolean {
    const times = this.#nodes.map(({ observation }) => observation?.sentAt ?? Number.NEGATIVE_INFINITY);
    this.#history.survey.sentAt = Math.min(...times);
    const isNew = this.#review();
    if (node === this.#primary) this.#sample();
    return isNew;
  }

  /** Nothing is known of a node any more. @returns whether everybody should be asked now: it was the primary, or is not, but another one is */
  lost(node: Node): boolean {
    this.#history.survey.sentAt = Number.NEGATIVE_INFINITY;
    return this.#review() || node === this.#primary;
  }

  /** These are the nodes now. A primary that is none of them any more does not answer, and stays the last one until another is found. */
  convene(nodes: readonly Node[]): void {
    this.#nodes = nodes;
    this.#replicas = nodes.filter((node) => node !== this.#primary);
    this.#isExpecting = false;
    this.#review();
  }

  /** Holds the election. @returns whether a primary was found that was not there before */
  #review(): boolean {
    const isOverdue = performance.now() - this.#startedAt > this.#settings.hangMillis;
    const before = this.#verdict;
    if (this.#history.clusterId === undefined && this.#isExpecting && !isOverdue) return false;
    const isAsking = this.#suspicions.review(this.#nodes, this.#primary);
    const { clusterId, timelines } = this.#history;
    if (clusterId === undefined && isAsking && !isOverdue) return true;
    const known = { primary: this.#primary, clusterId, timeline: timelines.timeline, isOverdue };
    this.#verdict = elect(this.#nodes, known, this.#settings.onTwoPrimaries);
    if (this.#verdict.is === 'settled') {
      if (this.#verdict.primary !== this.#primary) this.#follow(this.#verdict.primary);
      else if (before.is === 'settled') return isAsking;
      else this.#found(before.is === 'open' ? 'found' : 'returned');
      return true;
    }
    if (this.#verdict.is !== before.is && this.#verdict.is !== 'open') this.#changed(this.#verdict.is, this.#primary);
    return isAsking;
  }

  /** Another server is the primary: what was under way on the one before has no say any more. */
  #follow(primary: Node): void {
    const before = this.#primary;
    const isFirst = this.#history.clusterId === undefined;
    const isBack = primary.observation?.identity.startedAt === this.#history.startedAt;
    this.#primary = primary;
    this.#replicas = this.#nodes.filter((node) => node !== primary);
    before.role = 'replica';
    primary.role = 'primary';
    this.#found(isFirst ? 'found' : isBack ? 'returned' : 'promotion', before);
    if (!isFirst && before.observation?.inRecovery !== true) before.connections.abandon(false);
  }

  #found(change: 'found' | 'promotion' | 'returned', previous?: Node): void {
    this.#sample();
    this.#changed(change, previous);
  }

  /** Takes down where the primary stands. */
  #sample(): void {
    const { observation, name, health } = this.#primary;
    const heardSince = health.answeredSince ?? Number.NEGATIVE_INFINITY;
    if (!this.isSettled || observation === undefined) return;
    const { sentAt, timeline, lsn, forkLsn, identity } = observation;
    const { clusterId, startedAt } = identity;
    this.#history.add({ node: name, heardSince, sentAt, timeline, lsn, forkLsn, clusterId, startedAt });
    // A replica is what it is by the primary's history.
    for (const { position, health: replicaHealth } of this.#replicas) {
      position.compare(sentAt, lsn);
      replicaHealth.assess('the primary answered');
    }
  }

  #changed(change: TopologyEvent['change'], previous: Node | undefined): void {
    const event: TopologyEvent = {
      change,
      primary: this.isSettled ? this.#primary.name : undefined,
      previous: previous?.name,
      timeline: this.#history.timelines.timeline,
      at: Date.now(),
      cluster: this.#publisher.cluster,
    };
    this.changes.push(event);
    if (this.changes.length > CHANGES_KEPT) this.changes.shift();
    if (this.#publisher.wants('topology')) this.#publisher.publish('topology', event);
  }
}
