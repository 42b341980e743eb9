/**
 * All servers of a cluster, with what is known of them, and what follows when one of them answers,
 * hangs or is lost. Which of them answers a read is decided in `selection.ts`.
 */
import { performance } from '../clock.js';
import { discoveryFailed, LadderError } from '../errors.js';
import { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import type { NodeAnswer } from '../options/discovery.js';
import type { Publisher } from '../publisher.js';
import { AnswerSources } from './answer-sources.js';
import { isFarSlower } from './ejection.js';
import { faultOf } from './fault.js';
import { Heartbeat } from './heartbeat.js';
import { Leadership } from './leadership.js';
import { Membership } from './membership.js';
import { Monitor } from './monitor.js';
import { Node, type NodeListener } from './node.js';
import { NodeList } from './node-list.js';
import { PositionRiders } from './position-riders.js';
import { RouteCounts } from './route-counts.js';
import { Selection } from './selection.js';
import { TimelineLook } from './timeline-look.js';

/** At most 100 refreshes a second per replica: negligible beside the reads. */
const FRESHEN_MILLIS = 10;

export class Fleet {
  readonly settings: Settings;
  readonly publisher: Publisher;
  readonly history: PrimaryHistory;
  readonly monitor: Monitor;
  readonly heartbeat: Heartbeat;
  readonly membership: Membership;
  readonly timelineLook: TimelineLook;
  readonly leadership: Leadership;
  readonly selection: Selection;
  readonly counts: RouteCounts;
  readonly riders: PositionRiders;
  readonly answerSources = new AnswerSources(() => this.replicas);
  isClosed = false;
  readonly #nodeList: NodeList;

  constructor(settings: Settings, publisher: Publisher) {
    this.settings = settings;
    this.publisher = publisher;
    this.history = new PrimaryHistory(
      settings.tracking === 'window' ? settings.stickinessMillis : undefined,
      (why) => (why === 'lost' || why === 'uncertain') && this.#tellLost(why),
    );
    this.timelineLook = new TimelineLook(settings.tokenLifetimeMillis);
    this.counts = new RouteCounts(publisher);
    this.riders = new PositionRiders(this.history);
    // Ignores events of removed nodes, except hangs.
    const listener: NodeListener = {
      observed: (node) => !this.#nodeList.hasLeft(node) && this.#observed(node),
      lost: (node) => !this.#nodeList.hasLeft(node) && this.#lost(node),
      hung: (node) => this.#hung(node),
      untracked: () => this.#untracked(),
      confirmed: (node) => !this.#nodeList.hasLeft(node) && this.#observed(node),
      sourcesChanged: () => this.answerSources.changed(),
    };
    this.#nodeList = new NodeList(
      settings.zone,
      (node) => new Node(node, node.role, this.history, settings, publisher, listener),
      () => this.#convene(),
    );
    for (const node of settings.nodes) this.#nodeList.add(node);
    this.leadership = new Leadership(this.nodes, this.history, settings, publisher);
    this.selection = new Selection(settings, this.history, this.leadership);
    this.heartbeat = new Heartbeat(settings.monitor === 'onDemand', {
      paused: () => this.#paused(),
      mistimed: () => this.#mistimed(),
      beat: (now) => this.#beat(now),
    });
    this.monitor = new Monitor(this.nodes, settings, this.heartbeat, () => this.#ticked());
    this.membership = new Membership(settings, publisher, {
      joined: (joining) => this.#nodeList.join(joining, this.membership.wereAsked),
      stays: (name, labels) => this.#nodeList.relabel(name, labels),
      left: (name, isElsewhere) =>
        this.#nodeList.leave(name, isElsewhere && !this.leadership.isSettled ? undefined : this.primary),
      ask: (text) => this.#askAll(text),
      asked: () => this.#convene(),
    });
  }

  get nodes(): readonly Node[] {
    return this.#nodeList.nodes;
  }

  /** Begins to ask who is there, and where everybody stands. */
  start(): void {
    this.monitor.start();
    if (this.settings.monitor === 'timer') this.heartbeat.start();
    if (this.settings.monitor === 'timer') this.membership.look(performance.now(), false);
  }

  /** The cluster is in use; called for every statement. @param now our monotonic clock */
  used(now: number): void {
    this.heartbeat.used(now);
    this.monitor.used(now);
    if (this.settings.monitor === 'onDemand') this.membership.look(now, !this.leadership.isSettled);
  }

  /** Our monotonic clock without the time in which the process did not run. Waits with a bound are measured by it. */
  get awakeMillis(): number {
    return this.heartbeat.awake(performance.now());
  }

  /** See {@link Leadership.primary}. */
  get primary(): Node {
    return this.leadership.primary;
  }

  get replicas(): readonly Node[] {
    return this.leadership.replicas;
  }

  /** Asks replicas again that were skipped as behind: they may have caught up, and one replica would get every read otherwise. */
  refreshBehind(now: number): void {
    for (const replica of this.replicas) if (!replica.isEjected) replica.probe.freshen(now, freshenMillis(this.nodes));
  }

  /** Resolves when every node that was given answers in its role, and each that was found has been asked. @throws LadderError what is wrong with the first one that does not in time */
  async ready(timeoutMillis: number): Promise<void> {
    const isReady = (): boolean =>
      this.membership.wereAsked &&
      this.leadership.isSettled &&
      this.nodes.every((node) => this.#obstacle(node) === undefined);
    if (await this.monitor.until(isReady, timeoutMillis, 'primary')) return;
    const obstacle = this.nodes.map((node) => this.#obstacle(node)).find((one) => one !== undefined);
    throw (
      obstacle ??
      this.leadership.vacancy ??
      discoveryFailed(`ready: the discovery has given no answer within ${timeoutMillis} ms`)
    );
  }

  /** Why no statement of its role goes to that node; `undefined` when nothing is wrong. */
  problemOf(node: Node): LadderError | undefined {
    if (!this.#isTwin(node)) return faultOf(node, this.history);
    const why = `is the primary "${this.primary.name}" by another address, and gets no reads`;
    return new LadderError('LADDER_WRONG_ROLE', `node "${node.name}" ${why}`);
  }

  /** What stands between this node and `ready()`. A server that was found may be gone by now, and is waited for no longer than for its first answer. */
  #obstacle(node: Node): LadderError | undefined {
    if (node.probe.wasAsked && this.membership.has(node.name)) return undefined;
    // The server was given, whichever of its addresses has answered first.
    return this.#isTwin(node) && this.membership.has(this.primary.name) ? undefined : this.problemOf(node);
  }

  /** Whether it is the primary's server under another name, as when that was given by its host and found by its address. */
  #isTwin({ role, observation }: Node): boolean {
    if (role === 'primary' || observation === undefined) return false;
    return observation.identity.server === this.primary.observation?.identity.server;
  }

  /** Lets nothing wait any longer, and has what runs stopped on the servers. */
  cancelAll(): void {
    this.isClosed = true;
    this.monitor.stop();
    for (const node of this.nodes) node.connections.cancelAll();
  }

  /** Closes all connections that serve statements. */
  dropAll(): void {
    for (const node of this.nodes) node.connections.dropAll();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.heartbeat.stop();
    this.membership.close();
    this.monitor.stop();
    await this.#nodeList.close();
  }

  #convene(): void {
    this.leadership.convene(this.nodes);
    this.monitor.watch(this.nodes);
    this.monitor.wake();
  }

  async #askAll<Row>(text: string): Promise<NodeAnswer<Row>[]> {
    // At the start no node has answered yet.
    const haveAnswered = (): boolean => this.nodes.every(({ probe }) => probe.wasAsked);
    await this.monitor.until(haveAnswered, this.settings.hangMillis, 'primary');
    return this.#nodeList.ask(text);
  }

  #ticked(): void {
    this.#relieve();
    this.membership.look(performance.now(), !this.leadership.isSettled);
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
    const own = replica.probe.millis;
    if (own === undefined || replica.isEjected) return;
    const peers = this.replicas.filter((peer) => peer !== replica && peer.observation !== undefined && !peer.isEjected);
    const theirs = peers.map(({ probe }) => probe.millis?.recent).filter((millis) => millis !== undefined);
    if (isFarSlower(own, theirs)) eject(replica, 'it answers far more slowly than the others');
  }

  /** Those who wait for a pool that stands still are sent to one that does not. */
  #relieve(): void {
    for (const replica of this.replicas) {
      if (replica.isStalled && !this.selection.isInRotation(replica)) replica.connections.relieve();
    }
  }

  get #isBusy(): boolean {
    return this.nodes.some(({ inFlight }) => inFlight > 0);
  }

  /** What waits for an answer must not wait for ever, also where nothing but statements makes anybody ask. */
  #beat(now: number): boolean {
    const isBusy = this.#isBusy;
    if (isBusy) this.monitor.askOnDemand(now);
    return isBusy;
  }

  /** The process did not run: connections may have died unheard. */
  #paused(): void {
    for (const node of this.nodes) node.connections.suspectAll();
    this.monitor.hastenAll();
  }

  /** Nothing that was dated by the clock says how old it is. */
  #mistimed(): void {
    this.history.forgetTimes(performance.now());
    for (const node of this.nodes) node.health.forget('the clock stood still, or went back');
    this.monitor.hastenAll();
  }

  #hung(node: Node): void {
    if (this.#nodeList.hasLeft(node)) {
      node.connections.abandon(false);
      return;
    }
    // When no server answers, the fault is more likely here. A server that answers on a new connection shows that its silent old ones are dead.
    const recently = performance.now() - this.settings.hangMillis - this.settings.idleProbeMillis;
    if (!this.nodes.some(({ observation }) => observation !== undefined && observation.sentAt > recently)) {
      if (this.#isBusy) for (const one of this.nodes) one.probe.observe().catch(() => undefined);
      return;
    }
    if (node.role === 'replica') eject(node, 'it hangs');
    // A write on a primary that hangs may still be answered; a read can be answered elsewhere.
    node.connections.abandon(node.role === 'primary');
  }

  /** Without the primary's positions, or any replica's, nothing can be compared: windows are better than nothing, and worse than LSNs, so it is said. */
  #untracked(): void {
    if (!this.history.isTracking) return;
    const replicas = this.nodes.filter(
      ({ probe, observation }) => probe.untrackedRole !== 'primary' && observation?.inRecovery !== false,
    );
    const isPrimary = this.nodes.some(({ probe }) => probe.untrackedRole === 'primary');
    if (!isPrimary && !replicas.every(({ probe }) => probe.untrackedRole === 'replica')) return;
    const { stickinessMillis } = this.settings;
    this.history.loseTrack(stickinessMillis);
    this.monitor.hastenAll();
    if (!this.publisher.wants('warning')) return;
    this.publisher.publish('warning', {
      code: 'no-positions',
      message:
        `the ${isPrimary ? 'primary tells' : 'replicas tell'} no positions in the log, as on Aurora: after a write its session reads from the primary for ${stickinessMillis} ms ` +
        "(stickinessMillis), which promises nothing about replicas that lag longer, and there are no tokens; set tracking: 'window' to say that this is known",
    });
  }

  #tellLost(why: 'lost' | 'uncertain'): void {
    if (!this.publisher.wants('tokenLost')) return;
    this.publisher.publish('tokenLost', { isCertain: why === 'lost', count: this.history.refused[why] });
  }
}

/** Under load no position is older: the next read on a shared connection brings a new one along. Of many replicas each is asked less often. */
export function freshenMillis(nodes: readonly Node[]): number {
  return Math.max(FRESHEN_MILLIS, nodes.length);
}

/** Takes it out of rotation for a while. It is not ejected again for answers from before. */
function eject(node: Node, cause: string): void {
  node.probe.forget();
  node.health.eject(cause);
}
