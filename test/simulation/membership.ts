/**
 * Who belongs to the cluster, drawn: a discovery that answers with servers which come, go and move, and that sometimes fails, hangs or is late; and what the library was told
 * by it, so that each join and each leave can be accounted for.
 */
import pg from 'pg';
import type { DiscoveryContext, MembershipEvent, NodeOptions } from '../../src/index.js';
import { clientOf, Door, POOL_MAX, type Watch } from './client.js';
import type { Random } from './random.js';
import type { FakeServer } from './server.js';

export const ZONES = [undefined, 'east', 'west'] as const;
export const WEIGHTS = [0.5, 1, 1, 2, 3] as const;
const LATE_MILLIS = 11_000;

/** A server under a name, as long as it is listed. */
interface Listing {
  readonly name: string;
  readonly server: FakeServer;
  readonly host: string;
  /** One that was handed in, and the way through it. */
  readonly handedIn: { readonly pool: pg.Pool; readonly door: Door } | undefined;
  weight: number;
  zone: string | undefined;
}

/** A list that was handed to the library: the place of each name. */
type Handed = ReadonlyMap<string, { readonly place: unknown; readonly door: Door; readonly listing: Listing }>;

export class Membership implements Watch {
  readonly violations: string[] = [];
  /** The library's nodes, by their names: those that it was given, and those that it said have joined. */
  readonly doors = new Map<string, Door>();
  /** Doors that the library has left. */
  readonly left: Door[] = [];
  readonly listed = new Map<string, Listing>();
  readonly figures = { joins: 0, leaves: 0, readdresses: 0, 'discovery failures': 0 };
  /** When the library last said who takes writes: it lets go of a server that it took for the primary. */
  ledAt = Number.NEGATIVE_INFINITY;
  /** Whether the discovery only tells the truth from here on. */
  isCalm = false;
  readonly #random: Random;
  readonly #churning: readonly FakeServer[];
  readonly #handedIn: pg.Pool[] = [];
  readonly #places = new WeakMap<Door, unknown>();
  #before: Handed | undefined;
  #latest: Handed | undefined;
  #moves = 0;

  constructor(random: Random, churning: readonly FakeServer[]) {
    this.#random = random;
    this.#churning = churning;
  }

  /** A server that the cluster is given from the start. */
  given(server: FakeServer): NodeOptions {
    const door = this.#labelled(new Door(server.name, server, this), this.#weight(), this.#random.pick(ZONES));
    this.doors.set(door.name, door);
    return { ...connecting(door, server.name), ...labels(door) };
  }

  /** What `createCluster` takes as `discovery`. */
  readonly discover = async ({ signal }: DiscoveryContext): Promise<readonly NodeOptions[]> => {
    const random = this.#random;
    const mood = this.isCalm
      ? 'well'
      : random.pick(['well', 'well', 'well', 'slow', 'flicker', 'throw', 'hang', 'late', 'nonsense']);
    if (mood === 'slow') await after(random.between(5, 1_500));
    if (['throw', 'hang', 'late', 'nonsense'].includes(mood)) this.figures['discovery failures']++;
    if (mood === 'throw') throw new Error('the discovery was told to fail');
    if (mood === 'hang') return new Promise(() => undefined);
    if (mood === 'nonsense') return [{ name: '', weight: -1 }];
    // Nobody may take what comes then: it names nobody.
    if (mood === 'late') return after(LATE_MILLIS).then(() => []);
    const isShort = mood === 'flicker' && !this.isCalm;
    return signal.aborted ? [] : this.#hand(isShort ? 0.5 : 1);
  };

  /** The library tells of a join or a leave: it must have been told so before. */
  changed({ node, change }: MembershipEvent): void {
    const latest = this.#latest?.get(node);
    if (change === 'joined') {
      this.figures.joins++;
      if (latest === undefined) this.violations.push(`${node} joined and was not listed`);
      else this.#joined(latest.door);
      return;
    }
    this.figures.leaves++;
    const door = this.doors.get(node);
    if (door === undefined) {
      this.violations.push(`${node} left and was not there`);
      return;
    }
    const own = this.#places.get(door);
    const isMissing = [latest, this.#before?.get(node)].every((one) => one?.place !== own);
    const hasMoved = latest !== undefined && latest.place !== own;
    if (!isMissing && !hasMoved) this.violations.push(`${node} left although it was listed at its place`);
    door.leftAt = performance.now();
    this.left.push(door);
    this.doors.delete(node);
  }

  /** Draws what becomes of who is listed. @param mayGo whether the library knows enough to let that one go @param isLull whether all servers stay up */
  churn(mayGo: (name: string, server: FakeServer) => boolean, isLull: boolean): void {
    const random = this.#random;
    const listing = random.pick([...this.listed.values(), undefined]);
    if (listing === undefined || random.chance(0.25)) {
      this.list();
      return;
    }
    // Who is gone before the library has heard where it went can be found by nobody.
    const isKnown = this.#isThere(listing);
    const may = (): boolean => isKnown && mayGo(listing.name, listing.server);
    switch (random.pick(['leave', 'leave', 'hanging', 'move', 'readdress', 'label'])) {
      case 'label':
        [listing.weight, listing.zone] = [this.#weight(), random.pick(ZONES)];
        return;
      case 'move':
        if (may()) this.list(listing.name);
        return;
      case 'readdress':
        if (!isLull) this.#readdress(listing);
        return;
      case 'hanging':
        if (!may()) return;
        listing.server.troubledAt = performance.now();
        listing.server.freeze();
        this.listed.delete(listing.name);
        return;
      default:
        if (may()) this.listed.delete(listing.name);
    }
  }

  /** Lists a server that nobody has a node for; `name` is then its name, whoever had it before. @returns the name */
  list(name?: string): string | undefined {
    const random = this.#random;
    const taken = new Set([...this.listed.values(), ...this.doors.values()].map(({ server }) => server));
    const free = this.#churning.filter((server) => !taken.has(server));
    const names = this.#churning.map((server) => server.name).filter((one) => !this.listed.has(one));
    if (free.length === 0 || (name === undefined && names.length === 0)) return undefined;
    const server = random.pick(free);
    const own = name ?? (names.includes(server.name) && random.chance(0.7) ? server.name : random.pick(names));
    if (random.chance(0.3)) {
      server.troubledAt = performance.now();
      server.delayMillis = random.pick([0, 400, 700, 2_000]);
    }
    const host = `${server.name}${random.chance(0.3) ? ++this.#moves : ''}.example`;
    this.listed.set(own, {
      name: own,
      server,
      host,
      weight: this.#weight(),
      zone: random.pick(ZONES),
      handedIn: random.chance(0.3) ? this.#poolFor(own, server, host) : undefined,
    });
    return own;
  }

  /** Whether the library has its node of that name where it is listed. */
  #isThere({ name, host, handedIn }: Listing): boolean {
    const present = this.doors.get(name);
    return present === undefined || this.#places.get(present) === (handedIn?.pool ?? host);
  }

  /** The very server starts again at another address, under its name, also when it is the primary. */
  #readdress(listing: Listing): void {
    const { name, server, host, handedIn } = listing;
    if (handedIn !== undefined || !server.isUp) return;
    const present = this.doors.get(name);
    for (const door of [present, this.#latest?.get(name)?.door])
      if (door !== undefined && this.#places.get(door) === host) door.close();
    server.troubledAt = performance.now();
    server.kill();
    server.start();
    this.listed.set(name, { ...listing, host: `${server.name}${++this.#moves}.example` });
    this.figures.readdresses++;
  }

  /** A read that was called when its node had left already has no business there. */
  sent(door: Door, askedAt: number): void {
    if (askedAt > door.leftAt)
      this.violations.push(
        `a read went to ${door.name}, which had left ${askedAt - door.leftAt} ms before it was called`,
      );
  }

  /** What is under way on a server that is well runs to its end, also when its node leaves. */
  cut(door: Door, sentAt: number): void {
    const { isUp, isFrozen, latencyMillis, troubledAt } = door.server;
    const isLetGo = this.ledAt >= sentAt;
    const isWell = isUp && !isFrozen && latencyMillis === 1 && troubledAt < sentAt - 500 && !isLetGo;
    if (isWell) this.violations.push(`a read on ${door.name} was cut off after ${performance.now() - sentAt} ms`);
  }

  /** Ends the pools that were handed in, as their owner does. */
  async close(): Promise<void> {
    await Promise.all(this.#handedIn.map((pool) => pool.end()));
  }

  /** What is still open of a node that has left: of a pool that was handed in, what is not the pool's. */
  openOf(door: Door): number {
    const place = this.#places.get(door);
    return door.clients.size - (place instanceof pg.Pool ? place.totalCount : 0);
  }

  #hand(chance: number): NodeOptions[] {
    const answer: NodeOptions[] = [];
    const handed = new Map<string, { place: unknown; door: Door; listing: Listing }>();
    for (const listing of this.listed.values()) {
      if (!this.#random.chance(chance)) continue;
      const { name, server, host, handedIn, weight, zone } = listing;
      const door = this.#labelled(handedIn?.door ?? new Door(name, server, this), weight, zone);
      const place = handedIn?.pool ?? host;
      this.#places.set(door, place);
      handed.set(name, { place, door, listing });
      answer.push({ ...(handedIn === undefined ? connecting(door, host) : { pool: handedIn.pool }), ...labels(door) });
      const present = this.doors.get(name);
      if (present !== undefined && this.#places.get(present) === place) this.#labelled(present, weight, zone);
    }
    [this.#before, this.#latest] = [this.#latest, handed];
    return answer;
  }

  #joined(door: Door): void {
    this.doors.set(door.name, door);
    // A pool that was handed in may come back.
    door.leftAt = Number.POSITIVE_INFINITY;
    if (this.left.includes(door)) this.left.splice(this.left.indexOf(door), 1);
  }

  #poolFor(name: string, server: FakeServer, host: string): { pool: pg.Pool; door: Door } {
    const door = new Door(name, server, this);
    const pool = new pg.Pool({ Client: clientOf(server, door) as never, host, max: POOL_MAX });
    pool.on('error', () => undefined);
    this.#handedIn.push(pool);
    return { pool, door };
  }

  #labelled(door: Door, weight: number, zone: string | undefined): Door {
    door.weight = weight;
    door.zone = zone;
    return door;
  }

  #weight(): number {
    return this.#random.pick(WEIGHTS);
  }
}

function connecting(door: Door, host: string): pg.PoolConfig {
  return { Client: clientOf(door.server, door) as never, host, max: POOL_MAX };
}

function labels({ name, weight, zone }: Door): { name: string; weight: number; zone?: string } {
  return zone === undefined ? { name, weight } : { name, weight, zone };
}

function after(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis);
  });
}
