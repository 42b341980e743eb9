/** All servers of a cluster with what is known of them, and the question that every read asks first: is a replica fresh enough now? */
import { performance } from '../clock.js';
import { discoveryFailed, LadderError } from '../errors.js';
import { type Publisher, type Reason, reasons } from '../events.js';
import type { Floor, FloorLsn } from '../freshness/floor.js';
import { PrimaryHistory } from '../freshness/primary-history.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement, Target } from '../freshness/requirement.js';
import type { Priority } from '../options/calls.js';
import type { Settings } from '../options/cluster.js';
import type { NodeAnswer } from '../options/discovery.js';
import { HotKeys } from '../routing/hot-keys.js';
import { Router, type Shortfall, type Way } from '../routing/route.js';
import { isFarSlower } from './ejection.js';
import { Heartbeat } from './heartbeat.js';
import { Leadership } from './leadership.js';
import { Membership } from './membership.js';
import { Monitor } from './monitor.js';
import { Node, type NodeListener } from './node.js';
import { NodeList } from './node-list.js';
import { type Observation, replayedLsn } from './observation.js';
import { TimelineLook } from './timeline-look.js';

/** What a read needs of the node that answers it. */
export interface Need {
  readonly floor: Floor;
  readonly requirement: Requirement;
  readonly target: Target | undefined;
  /** The hash of its partition key: the key's own replica comes first, as long as it is fresh enough. */
  readonly key: number | undefined;
  /** Where the session last read; `undefined` where monotonic reads are not asked for. */
  readonly trace: ReadTrace | undefined;
  /** Its place in the queue for the primary. */
  readonly priority: Priority;
  /** Says whose reads share a part of the primary's budget; it is asked only where that is needed. */
  readonly asker: { caller(): object | string | undefined };
  /** When it stops waiting for the primary, by {@link Fleet.awakeMillis}. */
  readonly giveUpAt: number;
}

/** Why no replica answers: `pending` and `unprovable` stand for a floor that is not known. */
export type Refusal = Shortfall | Extract<FloorLsn, string> | 'cold-start';

/** With a hundred times a second for few replicas, and a thousand for all of many, it is nothing beside the reads. */
const FRESHEN_MILLIS = 10;
/** A read that waits asks so many replicas where they stand. */
const ASKED_AT_ONCE = 8;
const FURTHEST = 1n << 64n;
/** Below that the sketch of the traffic does not tell keys apart. */
const LEAST_HOT_SHARE = 0.005;
/** How far the clocks of processes that hand tokens to each other may differ. */
const CLOCK_TOLERANCE_MILLIS = 5_000;

export class Fleet {
  readonly settings: Settings;
  readonly publisher: Publisher;
  readonly history: PrimaryHistory;
  readonly monitor: Monitor;
  readonly heartbeat: Heartbeat;
  readonly membership: Membership;
  readonly hotKeys = new HotKeys();
  readonly timelineLook: TimelineLook;
  isClosed = false;
  /** See {@link ClusterStats.moveCount}. */
  moveCount = 0;
  readonly routeCounts = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  readonly leadership: Leadership;
  readonly #router: Router<Node>;
  readonly nodeList: NodeList;

  constructor(settings: Settings, publisher: Publisher) {
    this.settings = settings;
    this.publisher = publisher;
    this.history = new PrimaryHistory(
      settings.tracking === 'window' ? settings.stickinessMillis : undefined,
      (why) => (why === 'lost' || why === 'uncertain') && this.#tellLost(why),
    );
    this.timelineLook = new TimelineLook(settings.tokenLifetimeMillis);
    this.#router = new Router(settings.loadFactor);
    // What a node that has left has to say is nobody's business any more, unless it keeps somebody waiting.
    const listener: NodeListener = {
      observed: (node) => !node.hasLeft && this.#observed(node),
      lost: (node) => !node.hasLeft && this.#lost(node),
      hung: (node) => this.#hung(node),
      untracked: () => this.#untracked(),
      confirmed: (node) => !node.hasLeft && this.#observed(node),
    };
    this.nodeList = new NodeList(
      (node) => new Node(node, node.role, this.history, settings, publisher, listener),
      () => this.#convene(),
    );
    for (const node of settings.nodes) this.nodeList.add(node);
    this.leadership = new Leadership(this.nodes, this.history, settings, publisher);
    this.heartbeat = new Heartbeat(settings.monitor === 'onDemand', {
      paused: () => this.#paused(),
      mistimed: () => this.#mistimed(),
      beat: (now) => this.#beat(now),
    });
    this.monitor = new Monitor(this.nodes, settings, this.heartbeat, () => this.#ticked());
    this.membership = new Membership(settings, publisher, {
      joined: (joining) => this.nodeList.join(joining, this.membership.wereAsked),
      stays: (name, labels) => this.nodeList.find(name)?.relabel(labels),
      left: (name, isElsewhere) =>
        this.nodeList.leave(name, isElsewhere && !this.leadership.isSettled ? undefined : this.primary),
      ask: (text) => this.#askAll(text),
      asked: () => this.#convene(),
    });
  }

  get nodes(): readonly Node[] {
    return this.nodeList.nodes;
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

  /** Under load no position is older: the next read on a shared connection brings a new one along. Of many replicas each is asked less often. */
  get freshenMillis(): number {
    return Math.max(FRESHEN_MILLIS, this.nodes.length);
  }

  /** The replicas that a read may go to. */
  candidates(target: Target | undefined): readonly Node[] {
    return typeof target === 'object' ? this.replicas.filter((replica) => replica.name === target.node) : this.replicas;
  }

  /** The replica where the session last read; `undefined` where there is none, or no matter. */
  homeOf({ trace, requirement, target }: Need): Node | undefined {
    const server = trace?.server;
    if (server === undefined || requirement.consistency === 'eventual') return undefined;
    for (const replica of this.candidates(target)) if (replica.observation?.identity.server === server) return replica;
    return undefined;
  }

  /** The replica of the key that comes first in its order; the first that answers where the read has no key. */
  firstFor({ target, key }: Need): Node | undefined {
    const candidates = this.candidates(target);
    return key === undefined ? candidates[0] : this.#router.firstFor(key, candidates);
  }

  /** Those that answer and may be fresh enough soon. At most 8, since each is asked: the key's or the session's own, and those that are furthest ahead. */
  likeliest(need: Need, except: ReadonlySet<Node> | undefined): readonly Node[] {
    const answering = this.candidates(need.target).filter(
      (replica) => replica.observation !== undefined && !except?.has(replica),
    );
    if (answering.length <= ASKED_AT_ONCE) return answering;
    const own = this.homeOf(need) ?? this.firstFor(need);
    const ahead = (replica: Node): bigint => (replica === own ? FURTHEST : (replica.lsn ?? -1n));
    return answering.sort((a, b) => Number(ahead(b) - ahead(a))).slice(0, ASKED_AT_ONCE);
  }

  /**
   * The replica that answers, by what is known now; asks nobody. Why it is that one is told by `way` until the next choice.
   * @param home where the session last read @param except nodes that just failed the read @param isBrief whether the statement is known to be over in a moment
   */
  choose(
    need: Need,
    now: number,
    except?: ReadonlySet<Node>,
    home = this.homeOf(need),
    isBrief = false,
  ): Node | Refusal {
    const { floor, requirement, target, key, trace } = need;
    const lsn = floor.resolve(this.history);
    if (typeof lsn === 'string') return lsn;
    const maxAgeMillis = this.#staleness(requirement);
    const freshSince = now - maxAgeMillis;
    const spread = key === undefined ? 1 : this.#spreadOf(key, now);
    const isHomeOfKey = trace?.key === key;
    const wish = { floor: lsn, freshSince, maxAgeMillis, key, spread, home, isHomeOfKey, isBrief, except };
    const chosen = this.#router.choose(this.candidates(target), wish);
    return chosen === 'no-candidate' ? this.absence() : chosen;
  }

  /** Those that the last choice passed over for what they have not replayed are asked again: they may have by now, and one replica alone would get all reads else. */
  askThoseBehind(now: number): void {
    if (!this.#router.hasPassedOver) return;
    this.#router.hasPassedOver = false;
    for (const replica of this.replicas) if (!replica.isEjected) replica.freshen(now, this.freshenMillis);
  }

  /** Why the last choice fell on that replica. */
  get way(): Way {
    return this.#router.way;
  }

  /** Whether a session without a key goes on reading where it last did: as long as that is fresh enough, and not far behind another in speed. */
  keeps(home: Node, need: Need, now: number): boolean {
    if (!this.isInRotation(home) || !this.qualifies(home, need, now)) return false;
    return this.#router.keeps(home, this.candidates(need.target), now - this.#staleness(need.requirement));
  }

  /** A read has come. */
  recordUse({ key, target }: Need, now: number): void {
    if (key === undefined || target !== undefined || this.settings.hotKeys === false) return;
    this.hotKeys.recordUse(key, this.hotShare, now);
  }

  /** Whether the primary takes the reads of that key, because it is hot. */
  isForPrimary({ key, target }: Need, now: number): boolean {
    const { hotKeys } = this.settings;
    if (key === undefined || target !== undefined || hotKeys === false || hotKeys.target !== 'primary') return false;
    return this.leadership.isSettled && this.hotKeys.shareOf(key, this.hotShare, now) > 0;
  }

  /** The part of the traffic from which on a key is hot. */
  get hotShare(): number {
    const { hotKeys, loadFactor } = this.settings;
    if (hotKeys === false) return Number.POSITIVE_INFINITY;
    return hotKeys.share ?? Math.max(LEAST_HOT_SHARE, (loadFactor - 1) / Math.max(1, this.replicas.length - 1));
  }

  /** Twice as many replicas as would do for its share, so that chance does not load one of them with all of it. */
  #spreadOf(key: number, now: number): number {
    const { hotKeys } = this.settings;
    if (hotKeys === false || hotKeys.target === 'primary') return 1;
    const share = this.hotKeys.shareOf(key, this.hotShare, now);
    return share === 0 ? 1 : Math.max(2, Math.ceil(2 * share * this.replicas.length));
  }

  /** Whether reads go there: to one that is ejected or stands still only when there is no other. */
  isInRotation(replica: Node): boolean {
    if (!replica.isEjected && !replica.isStalled) return true;
    return !this.replicas.some((peer) => peer.lsn !== undefined && !peer.isEjected && !peer.isStalled);
  }

  /** Whether it must not answer, since it is ejected and another can. */
  isOut(replica: Node): boolean {
    return replica.isEjected && !this.isInRotation(replica);
  }

  /** The word for it in events and stats. */
  reasonFor(refusal: Refusal): Reason {
    return refusal === 'pending' || refusal === 'unprovable' ? 'floor-unknown' : refusal;
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
    if (!this.#isTwin(node)) return node.problem;
    const why = `is the primary "${this.primary.name}" by another address, and gets no reads`;
    return new LadderError('LADDER_WRONG_ROLE', `node "${node.name}" ${why}`);
  }

  /** What nobody is ready with. A server that was found may be gone by now, and is waited for no longer than for its first answer. */
  #obstacle(node: Node): LadderError | undefined {
    return node.wasAsked && this.membership.has(node.name) ? undefined : this.problemOf(node);
  }

  /** Whether it is the primary's server under another name, as when that was given by its host and found by its address. */
  #isTwin({ role, observation }: Node): boolean {
    if (role === 'primary' || observation === undefined) return false;
    return observation.identity.server === this.primary.observation?.identity.server;
  }

  /** Why there is no replica to speak of: not yet, or not any more. */
  absence(): 'cold-start' | 'no-candidate' {
    const isCold =
      this.history.clusterId === undefined || this.replicas.some(({ wasAsked, hasJoined }) => !wasAsked && !hasJoined);
    return isCold && this.replicas.length > 0 ? 'cold-start' : 'no-candidate';
  }

  /** Whether that very replica still is fresh enough. */
  qualifies(replica: Node, need: Need, now: number): boolean {
    const { observation, lsn } = replica;
    return observation !== undefined && lsn !== undefined && this.isProvenBy(observation, need, now);
  }

  /** Whether a server that said this of itself is fresh enough. */
  isProvenBy(observation: Observation, { floor, requirement }: Need, now: number): boolean {
    const reached = replayedLsn(observation, this.history);
    const lsn = floor.resolve(this.history);
    if (reached === undefined || typeof lsn === 'string' || reached < lsn) return false;
    const oldest = now - this.#staleness(requirement);
    return oldest === Number.NEGATIVE_INFINITY || this.history.clock.freshAsOf(reached) >= oldest;
  }

  /** Whether the read insists on the primary. */
  isPrimary(target: Target | undefined): boolean {
    return target === 'primary' || (typeof target === 'object' && target.node === this.primary.name);
  }

  /** Counts and tells where a statement goes. */
  placed(node: Node, reason: Reason, startedAt: number): void {
    this.routeCounts[reason]++;
    if (isOfRead(reason)) node.readCount++;
    if (!this.publisher.wants('route')) return;
    this.publisher.publish('route', {
      node: node.name,
      role: node.role,
      reason,
      waitedMillis: performance.now() - startedAt,
    });
  }

  /** What was placed there runs elsewhere: a read counts once, and where it ends. */
  abandoned({ node, reason }: { readonly node: Node; readonly reason: Reason }): void {
    if (isOfRead(reason)) node.readCount--;
  }

  /** Lets nothing wait any longer, and has what runs stopped on the servers. */
  cancelAll(): void {
    this.isClosed = true;
    this.monitor.stop();
    for (const node of this.nodes) node.cancelAll();
  }

  /** Closes all connections that serve statements. */
  dropAll(): void {
    for (const node of this.nodes) node.dropAll();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.heartbeat.stop();
    this.membership.close();
    this.monitor.stop();
    await this.nodeList.close();
  }

  #convene(): void {
    this.leadership.convene(this.nodes);
    this.monitor.watch(this.nodes);
    this.monitor.wake();
  }

  async #askAll<Row>(text: string): Promise<NodeAnswer<Row>[]> {
    // At the start nobody has answered anything yet.
    const haveAnswered = (): boolean => this.nodes.every(({ wasAsked }) => wasAsked);
    await this.monitor.until(haveAnswered, this.settings.hangMillis, 'primary');
    return this.nodeList.ask(text);
  }

  #ticked(): void {
    this.#relieve();
    this.membership.look(performance.now(), !this.leadership.isSettled);
  }

  /** Nothing can be dated while the primary does not answer: without an explicit bound, the floor alone decides then. */
  #staleness({ maxStalenessMillis, consistency }: Requirement): number {
    const { maxLagMillis, tokenLifetimeMillis } = this.settings;
    const { isTracking } = this.history;
    const isDated = this.leadership.isSettled && isTracking;
    const asked = maxStalenessMillis ?? (isDated ? maxLagMillis : Number.POSITIVE_INFINITY);
    if (consistency === 'eventual' || !isTracking) return asked;
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
    for (const node of this.nodes) node.distrust();
    this.monitor.hastenAll();
  }

  /** Nothing that was dated by the clock says how old it is. */
  #mistimed(): void {
    this.history.forgetTimes(performance.now());
    for (const node of this.nodes) node.void('the clock stood still, or went back');
    this.monitor.hastenAll();
  }

  #hung(node: Node): void {
    if (node.hasLeft) {
      node.abandon(false);
      return;
    }
    // When no server answers, the fault is more likely here. A server that answers on a new connection shows that its silent old ones are dead.
    const recently = performance.now() - this.settings.hangMillis - this.settings.idleProbeMillis;
    if (!this.nodes.some(({ observation }) => observation !== undefined && observation.sentAt > recently)) {
      if (this.#isBusy) for (const one of this.nodes) one.observe().catch(() => undefined);
      return;
    }
    if (node.role === 'replica') node.eject('it hangs');
    // A write on a primary that hangs may still be answered; a read can be answered elsewhere.
    node.abandon(node.role === 'primary');
  }

  /** Without the primary's positions, or any replica's, nothing can be compared: windows are better than nothing, and worse than LSNs, so it is said. */
  #untracked(): void {
    if (!this.history.isTracking) return;
    const replicas = this.nodes.filter(
      ({ untracked, observation }) => untracked !== 'primary' && observation?.inRecovery !== false,
    );
    const isPrimary = this.nodes.some(({ untracked }) => untracked === 'primary');
    if (!isPrimary && !replicas.every(({ untracked }) => untracked === 'replica')) return;
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

function isOfRead(reason: Reason): boolean {
  return reason !== 'write' && reason !== 'transaction' && reason !== 'session-state';
}
