/** All servers of a cluster with what is known of them, and the question that every read asks first: is a replica fresh enough now? */
import { type Publisher, type Reason, reasons } from '../events.js';
import type { Floor, FloorLsn } from '../freshness/floor.js';
import { PrimaryTrail } from '../freshness/primary-trail.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement, Target } from '../freshness/requirement.js';
import type { Priority } from '../options/calls.js';
import type { Settings } from '../options/cluster.js';
import { keyFraction, ranked } from '../routing/partition.js';
import { chooseReplica, type Shortfall } from '../routing/route.js';
import { isFarSlower } from './ejection.js';
import { Leadership } from './leadership.js';
import { Monitor } from './monitor.js';
import { Node, type NodeListener } from './node.js';
import { type Observation, replayedLsn } from './observation.js';

/** What a read needs of the node that answers it. */
export interface Need {
  readonly floor: Floor;
  readonly requirement: Requirement;
  readonly target: Target | undefined;
  /** Whose key the read belongs to: its own replica comes first, as long as it is fresh enough. */
  readonly partitionKey: string | undefined;
  /** Where the session last read; `undefined` where monotonic reads are not asked for. */
  readonly trace: ReadTrace | undefined;
  /** Its place in the queue for the primary. */
  readonly priority: Priority;
  /** Our monotonic clock when it stops waiting for the primary. */
  readonly giveUpAt: number;
}

/** Why no replica answers: `pending` and `unprovable` stand for a floor that is not known. */
export type Refusal = Shortfall | Extract<FloorLsn, string> | 'cold-start';

/** Of equally busy replicas each is chosen for so many reads before the next one's turn, as a power of two. */
const TURN_SHIFT = 3;
/** How far the clocks of processes that hand tokens to each other may differ. */
const CLOCK_TOLERANCE_MILLIS = 5_000;

export class Fleet {
  readonly settings: Settings;
  readonly publisher: Publisher;
  readonly trail: PrimaryTrail;
  readonly nodes: readonly Node[];
  readonly monitor: Monitor;
  isClosed = false;
  readonly routeCounts = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  readonly leadership: Leadership;
  #turn = 0;

  constructor(settings: Settings, publisher: Publisher) {
    this.settings = settings;
    this.publisher = publisher;
    this.trail = new PrimaryTrail(
      settings.tracking === 'window' ? settings.stickinessMillis : undefined,
      (why) => (why === 'lost' || why === 'uncertain') && this.#tellLost(why),
    );
    const listener: NodeListener = {
      observed: (node) => this.#observed(node),
      lost: (node) => this.#lost(node),
      hung: (node) => this.#hung(node),
    };
    this.nodes = settings.nodes.map((node) => new Node(node, node.role, this.trail, settings, publisher, listener));
    this.leadership = new Leadership(this.nodes, this.trail, settings, publisher);
    this.monitor = new Monitor(this.nodes, settings, () => this.#relieve());
  }

  /** See {@link Leadership.primary}. */
  get primary(): Node {
    return this.leadership.primary;
  }

  get replicas(): readonly Node[] {
    return this.leadership.replicas;
  }

  /** The replicas that a read may go to. */
  candidates(target: Target | undefined): readonly Node[] {
    return typeof target === 'object' ? this.replicas.filter((replica) => replica.name === target.node) : this.replicas;
  }

  /** The replicas that a read may go to, in the order of its partition key. */
  ranked({ target, partitionKey }: Need): readonly Node[] {
    const candidates = this.candidates(target);
    return partitionKey === undefined ? candidates : ranked(candidates, partitionKey);
  }

  /** The replica that answers, by what is known now; asks nobody. @param except nodes that just failed the read */
  choose(need: Need, now: number, except?: ReadonlySet<Node>): Node | Refusal {
    const { floor, requirement, target, partitionKey } = need;
    const lsn = floor.resolve(this.trail);
    if (typeof lsn === 'string') return lsn;
    if (partitionKey !== undefined) {
      const spread = keyFraction(partitionKey);
      const own = this.ranked(need).find(
        (replica) =>
          !except?.has(replica) &&
          replica.share > spread &&
          this.isInRotation(replica) &&
          this.qualifies(replica, need, now),
      );
      if (own !== undefined) return own;
    }
    const chosen = chooseReplica(
      this.candidates(target),
      lsn,
      now - this.#staleness(requirement),
      // A few in a row to the same one go out in one piece.
      this.#turn++ >>> TURN_SHIFT,
      except,
    );
    return chosen === 'no-candidate' ? this.absence() : chosen;
  }

  /** Whether reads go there: to one that is ejected or stands still only when there is no other. */
  isInRotation(replica: Node): boolean {
    if (!replica.isEjected && !replica.isStalled) return true;
    return !this.replicas.some((peer) => peer.lsn !== undefined && !peer.isEjected && !peer.isStalled);
  }

  /** The word for it in events and stats. */
  reasonFor(refusal: Refusal): Reason {
    return refusal === 'pending' || refusal === 'unprovable' ? 'floor-unknown' : refusal;
  }

  /** Resolves when every node answers in its role. @throws LadderError what is wrong with the first one that does not in time */
  async ready(timeoutMillis: number): Promise<void> {
    const isReady = (): boolean => this.leadership.isSettled && this.nodes.every((node) => node.problem === undefined);
    if (await this.monitor.until(isReady, timeoutMillis, 'primary')) return;
    const problem = this.nodes.map((node) => node.problem).find((one) => one !== undefined);
    throw problem ?? this.leadership.vacancy;
  }

  /** Why there is no replica to speak of: not yet, or not any more. */
  absence(): 'cold-start' | 'no-candidate' {
    const isCold = this.trail.clusterId === undefined || this.replicas.some((replica) => !replica.wasAsked);
    return isCold && this.replicas.length > 0 ? 'cold-start' : 'no-candidate';
  }

  /** Whether that very replica still is fresh enough. */
  qualifies(replica: Node, need: Need, now: number): boolean {
    return replica.observation !== undefined && this.isProvenBy(replica.observation, need, now);
  }

  /** Whether a server that said this of itself is fresh enough. */
  isProvenBy(observation: Observation, { floor, requirement }: Need, now: number): boolean {
    const reached = replayedLsn(observation, this.trail);
    const lsn = floor.resolve(this.trail);
    if (reached === undefined || typeof lsn === 'string' || reached < lsn) return false;
    const oldest = now - this.#staleness(requirement);
    return oldest === Number.NEGATIVE_INFINITY || this.trail.clock.freshAsOf(reached) >= oldest;
  }

  /** Whether the read insists on the primary. */
  isPrimary(target: Target | undefined): boolean {
    return target === 'primary' || (typeof target === 'object' && target.node === this.primary.name);
  }

  /** Counts and tells where a statement goes. */
  placed(node: Node, reason: Reason, startedAt: number): void {
    this.routeCounts[reason]++;
    if (reason !== 'write' && reason !== 'transaction') node.readCount++;
    if (!this.publisher.wants('route')) return;
    this.publisher.publish('route', {
      node: node.name,
      role: node.role,
      reason,
      waitedMillis: performance.now() - startedAt,
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.monitor.stop();
    await Promise.all(this.nodes.map((node) => node.close()));
  }

  /** Nothing can be dated while the primary does not answer: without an explicit bound, the floor alone decides then. */
  #staleness({ maxStalenessMillis, consistency }: Requirement): number {
    const { maxLagMillis, tokenLifetimeMillis, tracking } = this.settings;
    const isDated = this.leadership.isSettled && tracking === 'lsn';
    const asked = maxStalenessMillis ?? (isDated ? maxLagMillis : Number.POSITIVE_INFINITY);
    if (consistency === 'eventual' || tracking === 'window') return asked;
    // A token that has expired no longer says what its session wrote: by then, every candidate must have it anyway.
    return Math.min(asked, tokenLifetimeMillis - CLOCK_TOLERANCE_MILLIS);
  }

  #observed(node: Node): void {
    if (this.leadership.heard(node)) this.monitor.hastenAll();
    if (node !== this.primary) this.#compare(node);
    this.monitor.wake();
  }

  #lost(node: Node): void {
    if (this.leadership.lost(node)) this.monitor.hastenAll();
    this.monitor.lost(node);
    this.monitor.wake();
  }

  /** Ejects a replica that answers far more slowly than its peers. */
  #compare(replica: Node): void {
    const own = replica.probeMillis;
    if (own === undefined || replica.isEjected) return;
    const peers = this.replicas.filter((peer) => peer !== replica && peer.observation !== undefined && !peer.isEjected);
    const theirs = peers.map(({ probeMillis }) => probeMillis?.recent).filter((millis) => millis !== undefined);
    if (isFarSlower(own, theirs)) replica.eject('it answers far more slowly than the others');
  }

  /** Those who wait for a pool that stands still are sent to one that does not. */
  #relieve(): void {
    for (const replica of this.replicas) {
      if (replica.isStalled && !this.isInRotation(replica)) replica.relieve();
    }
  }

  #hung(node: Node): void {
    // When nobody answers, the fault is more likely here, and ending what is under way helps no one.
    const recently = performance.now() - this.settings.hangMillis - this.settings.idleProbeMillis;
    if (!this.nodes.some(({ observation }) => observation !== undefined && observation.sentAt > recently)) return;
    if (node.role === 'replica') node.eject('it hangs');
    // A write on a primary that hangs may still be answered; a read can be answered elsewhere.
    node.abandon(node.role === 'primary');
  }

  #tellLost(why: 'lost' | 'uncertain'): void {
    if (!this.publisher.wants('tokenLost')) return;
    this.publisher.publish('tokenLost', { isCertain: why === 'lost', count: this.trail.refused[why] });
  }
}
