/** All servers of a cluster with what is known of them, and the question that every read asks first: is a replica fresh enough now? */
import { type Publisher, type Reason, reasons } from '../events.js';
import type { Floor, FloorLsn } from '../freshness/floor.js';
import { PrimaryTrail } from '../freshness/primary-trail.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement, Target } from '../freshness/requirement.js';
import type { Settings } from '../options.js';
import { ranked } from '../routing/partition.js';
import { chooseReplica, type Shortfall } from '../routing/route.js';
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
}

/** Why no replica answers: `pending` and `unprovable` stand for a floor that is not known. */
export type Refusal = Shortfall | Extract<FloorLsn, string> | 'cold-start';

/** How far the clocks of processes that hand tokens to each other may differ. */
const CLOCK_TOLERANCE_MILLIS = 5_000;

export class Fleet {
  readonly settings: Settings;
  readonly publisher: Publisher;
  readonly trail: PrimaryTrail;
  readonly primary: Node;
  readonly replicas: readonly Node[];
  readonly monitor: Monitor;
  isClosed = false;
  readonly routeCounts = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  #turn = 0;

  constructor(settings: Settings, publisher: Publisher) {
    this.settings = settings;
    this.publisher = publisher;
    this.trail = new PrimaryTrail(settings.tracking === 'window' ? settings.stickinessMillis : undefined);
    const listener: NodeListener = {
      observed: (node) => {
        // A replica is what it is by the primary's history.
        if (node === this.primary) for (const replica of this.replicas) replica.judge('the primary answered');
        this.monitor.observed();
      },
      lost: (node) => this.monitor.lost(node),
      hung: (node) => {
        // When nobody answers, the fault is more likely here, and ending what is under way helps no one.
        const recently = performance.now() - settings.hangMillis - settings.idleProbeMillis;
        const doOthersAnswer = this.nodes.some(
          ({ observation }) => observation !== undefined && observation.sentAt > recently,
        );
        if (node.role === 'replica' && doOthersAnswer) node.abandon();
      },
    };
    this.primary = new Node(settings.primary, 'primary', this.trail, settings, publisher, listener);
    this.replicas = settings.replicas.map((r) => new Node(r, 'replica', this.trail, settings, publisher, listener));
    this.monitor = new Monitor([this.primary, ...this.replicas], settings);
  }

  get nodes(): readonly Node[] {
    return [this.primary, ...this.replicas];
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
      const own = this.ranked(need).find((replica) => !except?.has(replica) && this.qualifies(replica, need, now));
      if (own !== undefined) return own;
    }
    const chosen = chooseReplica(
      this.candidates(target),
      lsn,
      now - this.#staleness(requirement),
      this.#turn++,
      except,
    );
    return chosen === 'no-candidate' ? this.absence() : chosen;
  }

  /** The word for it in events and stats. */
  reasonFor(refusal: Refusal): Reason {
    return refusal === 'pending' || refusal === 'unprovable' ? 'floor-unknown' : refusal;
  }

  /** Resolves when every node answers in its role. @throws LadderError what is wrong with the first one that does not in time */
  async ready(timeoutMillis: number): Promise<void> {
    const isReady = (): boolean => this.nodes.every((node) => node.problem === undefined);
    if (await this.monitor.until(isReady, timeoutMillis)) return;
    const problem = this.nodes.map((node) => node.problem).find((one) => one !== undefined);
    if (problem !== undefined) throw problem;
  }

  /** Why there is no replica to speak of: not yet, or not any more. */
  absence(): 'cold-start' | 'no-candidate' {
    const isCold = this.trail.clusterId === undefined || this.replicas.some((replica) => !replica.hasAnswered);
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

  /** The name of a replica that has been promoted past the primary; `undefined` while nobody has. */
  rival(): string | undefined {
    const { clusterId, history } = this.trail;
    return this.replicas.find(({ observation }) => {
      if (observation === undefined || observation.inRecovery) return false;
      return observation.identity.clusterId === clusterId && observation.timeline > history.timeline;
    })?.name;
  }

  /** Whether the read insists on the primary. */
  isPrimary(target: Target | undefined): boolean {
    return target === 'primary' || (typeof target === 'object' && target.node === this.primary.name);
  }

  /** Counts and tells where a statement goes. */
  placed(node: Node, reason: Reason, startedAt: number): void {
    this.routeCounts[reason]++;
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
    const isDated = this.primary.observation !== undefined && tracking === 'lsn';
    const asked = maxStalenessMillis ?? (isDated ? maxLagMillis : Number.POSITIVE_INFINITY);
    if (consistency === 'eventual' || tracking === 'window') return asked;
    // A token that has expired no longer says what its session wrote: by then, every candidate must have it anyway.
    return Math.min(asked, tokenLifetimeMillis - CLOCK_TOLERANCE_MILLIS);
  }
}
