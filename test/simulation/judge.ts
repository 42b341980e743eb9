/** What a read may show and where it may run, by a model of its own: told of every call, asks the library only for what it says of its nodes. */
import type { Cluster, NodeStats, RouteEvent } from '../../src/index.js';
import { type Door, POOL_MAX } from './client.js';
import type { Membership } from './membership.js';
import { hashInHex, ownerOf } from './rendezvous.js';
import { AGE_MILLIS, type Commit, type Seen, shows } from './server.js';
import type { Servers } from './servers.js';

/** A read as its caller knows it. */
export interface Call {
  readonly askedAt: number;
  readonly key: string | undefined;
  readonly consistency: 'session' | 'strong' | 'eventual';
  readonly maxStalenessMillis: number | undefined;
  /** How long the statement itself takes. */
  readonly takesMillis: number;
  /** Whether nothing was written or handed over that it must see. */
  readonly isFloorless: boolean;
  /** What its session has read before: last of all, and last where it asked for what it had seen. */
  readonly before: Seen | undefined;
  readonly held: Seen | undefined;
  /** What its session has written, as far as that was shown. */
  readonly own: readonly Commit[];
}

/** Where a read must go, and why. */
interface Expectation {
  readonly doors: readonly Door[];
  /** Those of them that must be well for it. */
  readonly sure: readonly Door[];
  readonly kind: 'own' | 'stay' | 'near';
}

/** A server is well enough to be counted on when nothing was wrong with it for so long. */
const WELL_MILLIS = 1_000;
/** A replica that answers that quickly is outdone by none. */
const QUICK_MILLIS = 2;
/** The library has looked at a replica's age at least once in that time. */
const LOOKED_MILLIS = 1_500;
const AGE_MARGIN_MILLIS = 100;
/** However badly it goes: a wait for the primary, and what was tried before and after. */
const LONGEST_MILLIS = 15_000;

export class Judge {
  readonly violations: string[] = [];
  /** What was answered, one after the other. */
  readonly answers: string[] = [];
  readonly figures = {
    reads: 0,
    'on replicas': 0,
    shared: 0,
    gated: 0,
    failed: 0,
    'keyed reads': 0,
    'own expected': 0,
    'on own': 0,
    stays: 0,
    near: 0,
    bounded: 0,
    'hot routes': 0,
  };
  /** Calls that have not ended. */
  underWay = 0;
  routeCount = 0;
  /** Where the library runs. */
  zone: string | undefined;
  /** Whether reads share connections: what takes long then goes on elsewhere. */
  hasLanes = false;
  readonly #cluster: Cluster;
  readonly #servers: Servers;
  readonly #membership: Membership;
  readonly #budget: number;
  readonly #states = new Map<string, string>();
  readonly #missed: { readonly commit: Commit; readonly what: string }[] = [];
  readonly #acknowledged: { readonly commit: Commit; readonly at: number }[] = [];
  #knownSince = 0;

  constructor(cluster: Cluster, servers: Servers, membership: Membership, budget: number) {
    this.#cluster = cluster;
    this.#servers = servers;
    this.#membership = membership;
    this.#budget = budget;
    cluster.events.on('topology', () => {
      this.#knownSince = performance.now();
    });
    cluster.events.on('node', ({ node, state }) => this.#states.set(node, state));
    cluster.events.on('membership', ({ node }) => this.#states.delete(node));
    cluster.events.on('route', (route) => this.#checkRoute(route));
  }

  /** A write has returned. @returns its commit */
  acknowledge(id: number): Commit | undefined {
    for (const { log } of this.#servers.all) {
      const commit = log.findLast((one) => one.id === id);
      if (commit === undefined) continue;
      this.#acknowledged.push({ commit, at: performance.now() });
      return commit;
    }
    return undefined;
  }

  /** Plays a call through and looks at its answer. @returns `undefined` when it failed */
  async judge(call: Call, read: () => Promise<Seen | undefined>): Promise<Seen | undefined> {
    const expected = this.underWay === 0 ? this.#expectation(call) : undefined;
    const mustShow = call.consistency === 'strong' ? this.#acknowledged.slice(-5) : [];
    this.underWay++;
    const seen = await read();
    this.underWay--;
    const millis = performance.now() - call.askedAt;
    if (millis > LONGEST_MILLIS) this.#violated(`a read took ${millis} ms`);
    if (seen === undefined) return undefined;
    this.figures.reads++;
    this.answers.push(`${seen.door.name} ${seen.count} at ${performance.now()}`);
    if (!seen.server.isPrimary) this.figures['on replicas']++;
    if (seen.isShared) this.figures.shared++;
    if (call.key !== undefined) this.figures['keyed reads']++;
    if (call.maxStalenessMillis !== undefined) this.#checkStaleness(call, call.maxStalenessMillis, seen);
    for (const { commit } of mustShow) this.#expectShown(seen, commit, 'a strong read');
    for (const commit of call.own) this.#expectShown(seen, commit, 'its own write');
    if (call.consistency !== 'eventual') {
      for (const one of [call.before, call.held]) if (one !== undefined) this.#checkMonotonic(one, seen);
    }
    this.#checkTimeline(seen);
    if (expected !== undefined) this.#checkPlace(expected, call, seen);
    return seen;
  }

  /** At the end, when it is known what has survived. */
  close(): void {
    const { log } = this.#servers.primary;
    const survived = new Set(log);
    for (const { commit, what } of this.#missed)
      if (survived.has(commit)) this.#violated(`${what}: ${commit.id} was missed, and survived`);
    if (new Set(log.map(({ id }) => id)).size !== log.length) this.#violated('a write ran twice');
  }

  /** The replicas among the library's nodes, as it sees them itself. */
  replicas(): { readonly door: Door; readonly stats: NodeStats }[] {
    const { nodes } = this.#cluster.stats();
    return nodes.flatMap((stats) => {
      const door = this.#membership.doors.get(stats.name);
      return door === undefined || stats.role !== 'replica' ? [] : [{ door, stats }];
    });
  }

  /** Where a read must go that meets nobody else; `undefined` where the model cannot tell. */
  #expectation({
    key,
    before,
    consistency,
    isFloorless,
    maxStalenessMillis,
    takesMillis,
  }: Call): Expectation | undefined {
    if (this.hasLanes && takesMillis > 0) return undefined;
    if (!isFloorless || consistency === 'strong' || maxStalenessMillis !== undefined) return undefined;
    const home = consistency === 'eventual' ? undefined : before?.server;
    const replicas = this.replicas();
    const good = replicas.filter(
      ({ door, stats }) => stats.state === 'live' && stats.inFlight === 0 && this.#isWell(door),
    );
    if (key !== undefined) {
      const own = ownerOf(
        key,
        replicas.map(({ door }) => door),
      );
      const at = good.find(({ door }) => door === own);
      // What has failed lately is not known to be quick again at once.
      const isOpen =
        at !== undefined && at.stats.responseMillis <= QUICK_MILLIS && (home === undefined || home === own?.server);
      if (!isOpen || own === undefined || this.#isHot(key)) return undefined;
      return { doors: [own], sure: [own], kind: 'own' };
    }
    if (home !== undefined) {
      const at = good.find(({ door, stats }) => door.server === home && stats.responseMillis <= QUICK_MILLIS);
      return at === undefined ? undefined : { doors: [at.door], sure: [at.door], kind: 'stay' };
    }
    const near = replicas.filter(({ door }) => door.zone !== undefined && door.zone === this.zone);
    // Reads leave the zone for what is far slower than others, as they do with keys.
    const quick = good.filter(({ stats }) => stats.responseMillis <= QUICK_MILLIS);
    const sure = quick.map(({ door }) => door).filter((door) => near.some((one) => one.door === door));
    return sure.length === 0 ? undefined : { doors: near.map(({ door }) => door), sure, kind: 'near' };
  }

  #isHot(key: string): boolean {
    return this.#cluster.stats().hotKeys.some(({ hash }) => hash === hashInHex(key));
  }

  #isWell({ server }: Door): boolean {
    return server.isWell(this.#servers.primary, WELL_MILLIS);
  }

  #checkPlace({ doors, sure, kind }: Expectation, { key, askedAt }: Call, seen: Seen): void {
    const isHere = doors.includes(seen.door);
    // By that very read it may have become hot.
    if (!isHere && key !== undefined && this.#isHot(key)) return;
    // What has befallen it meanwhile, the model cannot know of.
    const isUnharmed = (door: Door): boolean =>
      this.#isWell(door) && door.leftAt > askedAt && door.server.troubledAt < askedAt;
    if (!isHere && !sure.some(isUnharmed)) return;
    if (kind === 'own') this.figures['own expected']++;
    if (kind === 'own' && isHere) this.figures['on own']++;
    if (kind === 'stay') this.figures.stays++;
    if (kind === 'near') this.figures.near++;
    if (!isHere)
      this.#violated(
        `${kind}: a read ${key === undefined ? '' : `by ${key} `}went to ${seen.door.name}, not to ${doors.map(({ name }) => name).join()}`,
      );
  }

  #checkStaleness({ key, askedAt }: Call, bound: number, seen: Seen): void {
    this.figures.bounded++;
    let found = 0;
    for (let i = this.#acknowledged.length - 1; i >= 0 && found < 5; i--) {
      const { commit, at } = this.#acknowledged[i] as { commit: Commit; at: number };
      if (at > seen.sentAt - bound) continue;
      found++;
      this.#expectShown(seen, commit, `no older than ${bound} ms`);
    }
    if (key === undefined || seen.server.isPrimary || !this.#isTooLate(seen.door, bound)) return;
    const others = this.replicas().filter(
      ({ door, stats }) =>
        door !== seen.door && stats.state === 'live' && this.#isWell(door) && door.server.troubledAt < askedAt - 5_000,
    );
    if (others.length > 0)
      this.#violated(
        `a read by ${key} went to ${seen.door.name}, which had been over ${bound} ms and never below half, beside ${others.map(({ door }) => door.name).join()}`,
      );
  }

  /** Whether it has been over the bound, and never below half of it since, for all that the library can have seen. */
  #isTooLate({ server }: Door, bound: number): boolean {
    let over = 0;
    for (let i = server.ages.length - 1; i >= 0; i--) {
      const age = server.ages[i] as number;
      if (age < bound / 2 + AGE_MARGIN_MILLIS) return false;
      over = age > bound + AGE_MARGIN_MILLIS ? over + AGE_MILLIS : 0;
      if (over >= LOOKED_MILLIS) return true;
    }
    return false;
  }

  #checkMonotonic(before: Seen, seen: Seen): void {
    for (const back of [1, 4]) {
      const commit = before.log[before.count - back];
      if (commit !== undefined) this.#expectShown(seen, commit, `seen on ${before.door.name} before`);
    }
  }

  /** What is sent once the library knows of the present timeline is sent to nobody who has left it. */
  #checkTimeline(seen: Seen): void {
    const { primary, timeline } = this.#servers;
    if (isPrefix(seen, primary.log) || seen.sentAt <= this.#knownSince) return;
    if (this.#cluster.stats().timeline === timeline)
      this.#violated(`a read on ${seen.server.name}, which has left timeline ${timeline}`);
  }

  #expectShown(seen: Seen, commit: Commit, what: string): void {
    if (!shows(seen, commit)) this.#missed.push({ commit, what: `on ${seen.door.name}, ${what}` });
  }

  #checkRoute({ node, role, reason }: RouteEvent): void {
    this.routeCount++;
    if (reason === 'hot-key') this.figures['hot routes']++;
    if (reason === 'gated') this.figures.gated++;
    if (reason === 'write') return;
    // What stats() tells is dear; what events have told says when it is worth a look.
    if (role === 'replica' && this.#states.get(node) !== 'ejected') return;
    const { nodes, fallback } = this.#cluster.stats();
    if (fallback.inUse > this.#budget) this.#violated(`${fallback.inUse} turns, where ${this.#budget} are allowed`);
    const chosen = nodes.find(({ name }) => name === node);
    // What is run again may have met the others already, and a pool that stands still counts as none.
    if (reason === 'retried') return;
    // What is sent along with a question is told of when that is answered: its node may have been ejected by then.
    if (this.hasLanes && reason === 'gated') return;
    const live = nodes.filter(
      ({ role: is, state, pool }) =>
        is === 'replica' &&
        (state === 'live' || state === 'probation') &&
        (pool.idleCount > 0 || pool.totalCount < POOL_MAX),
    );
    if (chosen?.role === 'replica' && chosen.state === 'ejected' && live.length > 0) {
      this.#violated(`${node} (${reason}) is ejected and was chosen beside ${live.map(({ name }) => name).join()}`);
    }
  }

  #violated(what: string): void {
    this.violations.push(`at ${performance.now().toFixed()}: ${what}`);
  }
}

function isPrefix({ log, count }: Seen, of: readonly Commit[]): boolean {
  return count <= of.length && (count === 0 || log[count - 1] === of[count - 1]);
}
