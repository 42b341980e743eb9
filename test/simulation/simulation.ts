/** One run, told by its seed: the real library on played servers, in a time that is played too. */
import { vi } from 'vitest';
import { type Cluster, type ClusterOptions, createCluster } from '../../src/index.js';
import { inTheEnd } from './calm.js';
import { Judge } from './judge.js';
import { Membership, ZONES } from './membership.js';
import { Random } from './random.js';
import type { FakeServer } from './server.js';
import { Servers } from './servers.js';
import { Traffic } from './traffic.js';

const GIVEN = ['a', 'b', 'c'];
const CHURNING = ['d', 'e', 'f', 'g'];
const BUDGET = 2;
const TICK_MILLIS = 5;
/** When nothing is lagging, nobody needs to look that often. */
const CALM_TICK_MILLIS = 20;
/** After so many faults comes a while without. */
const LULL_AFTER = 40;
const LULL_MILLIS = 10_000;

export class Simulation {
  readonly judge: Judge;
  readonly membership: Membership;
  readonly traffic: Traffic;
  faultCount = 0;
  readonly #random: Random;
  readonly #chance: Random;
  readonly #servers: Servers;
  readonly #cluster: Cluster;
  readonly #options: Pick<ClusterOptions, 'hotKeys' | 'loadFactor' | 'zone' | 'discoveryMillis'>;
  /** Who takes writes, as the library sees it. */
  #leader = GIVEN[0];
  #even: number | undefined;

  /** @param hasLanes whether reads share connections, and no pooler hides who answers on them */
  constructor(seed: number, hasLanes: boolean) {
    const random = new Random(seed);
    this.#random = random;
    // The library's own chance, apart from the run's: what it draws must not change what befalls it.
    this.#chance = new Random(seed + 0x9e3779b9);
    vi.spyOn(Math, 'random').mockImplementation(() => this.#drawn());
    this.#servers = new Servers(random, [...GIVEN, ...CHURNING]);
    const { all } = this.#servers;
    for (const server of all) server.isDirect = hasLanes;
    this.membership = new Membership(random, all.slice(GIVEN.length));
    const options = {
      hotKeys: random.pick([false, {}, {}, { share: 0.1 }, { share: 0.1, target: 'primary' as const }] as const),
      loadFactor: random.pick([1.1, 1.25, 1.25, 2, 10]),
      discoveryMillis: random.pick([200, 500, 1_500]),
      ...zoned(random.pick(ZONES)),
    };
    this.#options = options;
    this.#cluster = createCluster({
      nodes: all.slice(0, GIVEN.length).map((server) => this.membership.given(server)),
      primaryReadBudget: BUDGET,
      primaryWaitMillis: 4_000,
      lane: hasLanes,
      discovery: this.membership.discover,
      ...options,
    });
    this.judge = new Judge(this.#cluster, this.#servers, this.membership, BUDGET);
    this.judge.zone = options.zone;
    this.judge.hasLanes = hasLanes;
    this.traffic = new Traffic(random, this.#cluster, this.judge);
    this.#cluster.events.on('membership', (event) => this.membership.changed(event));
    this.#cluster.events.on('topology', ({ primary }) => {
      this.#leader = primary ?? this.#leader;
      this.membership.ledAt = performance.now();
    });
  }

  get violations(): string[] {
    return [...this.judge.violations, ...this.membership.violations];
  }

  /** Sessions meet so many faults, and then calm. */
  async play(faults: number): Promise<void> {
    const callers = this.traffic.run();
    await this.#pass(500);
    for (let i = 0; i < faults; i++) {
      this.#servers.fault((server) => this.#mayLead(server));
      this.faultCount++;
      if (this.#random.chance(0.3)) this.#churn(false);
      await this.#pass(this.#random.between(20, 600));
      if (i % LULL_AFTER === LULL_AFTER - 1) await this.#lull();
    }
    this.traffic.isOn = false;
    this.membership.isCalm = true;
    this.#servers.healAll();
    // A discovery that hangs is given up after 10 s.
    await this.#pass(20_000, CALM_TICK_MILLIS);
    await callers;
  }

  /** As `play`, and what must hold in the end. */
  async run(faults: number): Promise<void> {
    await this.play(faults);
    const wrong = await inTheEnd({
      cluster: this.#cluster,
      membership: this.membership,
      judge: this.judge,
      traffic: this.traffic,
      given: GIVEN,
      zone: this.#options.zone,
      hotKeys: this.#options.hotKeys ?? {},
      loadFactor: this.#options.loadFactor as number,
      discoveryMillis: this.#options.discoveryMillis as number,
      pass: (millis) => this.#pass(millis, CALM_TICK_MILLIS),
      until: (promise) => this.#until(promise),
      evenly: (work) => this.#evenly(work),
    });
    this.judge.violations.push(...wrong);
    this.judge.close();
    await this.close();
  }

  /** Nothing befalls anybody for a while, and servers come and go all the same. */
  async #lull(): Promise<void> {
    this.#servers.healAll();
    this.traffic.patience = 8;
    for (let i = 0; i < 4; i++) {
      await this.#pass(LULL_MILLIS / 4);
      this.#churn(true);
    }
    this.traffic.patience = 1;
  }

  #churn(isLull: boolean): void {
    this.membership.churn((name, server) => server !== this.#servers.primary || this.#leader === name, isLull);
  }

  /** Whoever manages the servers promotes none that the library could not hear of. */
  #mayLead(server: FakeServer): boolean {
    const door = [...this.membership.doors.values()].find((one) => one.server === server);
    return (
      door !== undefined && (GIVEN.includes(door.name) || this.membership.listed.get(door.name)?.server === server)
    );
  }

  async close(): Promise<void> {
    await this.#until(this.#cluster.close());
    await this.#until(this.membership.close());
    await this.#pass(100);
    const doors = [...this.membership.doors.values(), ...this.membership.left];
    const open = doors.reduce((sum, { clients }) => sum + clients.size, 0);
    if (open > 0) this.judge.violations.push(`${open} connections are left`);
    if (vi.getTimerCount() > 0) this.judge.violations.push(`${vi.getTimerCount()} timers are left`);
  }

  /** Lets time pass, and the servers replicate meanwhile. */
  async #pass(millis: number, tick = TICK_MILLIS): Promise<void> {
    for (let t = 0; t < millis; t += tick) {
      this.#servers.tick();
      await vi.advanceTimersByTimeAsync(tick);
    }
  }

  async #until<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    for (let t = 0; t < 60_000 && !isDone; t += 1) await vi.advanceTimersByTimeAsync(1);
    if (!isDone) throw new Error('it did not end within a minute');
    return done;
  }

  async #evenly<T>(work: () => Promise<T>): Promise<T> {
    this.#even = 0;
    try {
      return await work();
    } finally {
      this.#even = undefined;
    }
  }

  /** The router draws two at a time. */
  #drawn(): number {
    return this.#even === undefined ? this.#chance.next() : halved((this.#even++ >> 1) + 1);
  }
}

/** Van der Corput's sequence: however many are taken, they lie evenly between 0 and 1. */
function halved(n: number): number {
  let value = 0;
  for (let [rest, part] = [n, 0.5]; rest > 0; rest >>= 1, part /= 2) value += (rest & 1) * part;
  return value;
}

function zoned(zone: string | undefined): { zone?: string } {
  return zone === undefined ? {} : { zone };
}
