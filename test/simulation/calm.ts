/** When everything has calmed down: who is there, who takes what, and what is left of those that have gone. */
import type { Cluster, HotKeyOptions } from '../../src/index.js';
import type { Door } from './client.js';
import type { Judge } from './judge.js';
import type { Membership } from './membership.js';
import { hashInHex, ownerOf } from './rendezvous.js';
import type { Seen } from './server.js';
import type { Traffic } from './traffic.js';

/** Long enough for the slow start of a node that has joined. */
const WARM_MILLIS = 6_000;
/** Long enough for a node that has left to close, and for one that cuts off what is under way to do so. */
const CLOSING_MILLIS = 1_000;
/** Long enough for a node that hangs to be given up, and the goodbye to it. */
const HANGING_MILLIS = 3_000;
const COOLING_MILLIS = 5_200;
/** After which a key that was hot is still counted, and has too few reads to be hot. */
const COOLINGS = 5;
const KEYS = Array.from({ length: 40 }, (_, i) => `calm:${i}`);
const UNKEYED = 256;
const HOT = 'hot';
const HEATING = 400;
/** So much of the reads by key is for it by then. */
const SURELY_HOT = 0.5;
const BOUND_MILLIS = 1_000;
/** The same two are looked at for several reads in a row, so that shares are that coarse. */
const TOLERANCE = 0.1;

export interface Calm {
  readonly cluster: Cluster;
  readonly membership: Membership;
  readonly judge: Judge;
  readonly traffic: Traffic;
  readonly given: readonly string[];
  readonly zone: string | undefined;
  readonly hotKeys: HotKeyOptions | false;
  readonly loadFactor: number;
  readonly discoveryMillis: number;
  /** Lets time pass. */
  readonly pass: (millis: number) => Promise<void>;
  /** Lets time pass until it is done. */
  readonly until: <T>(promise: Promise<T>) => Promise<T>;
  /** Makes chance even: each outcome comes as often as it is likely. */
  readonly evenly: <T>(work: () => Promise<T>) => Promise<T>;
}

/** @returns what is wrong */
export async function inTheEnd(calm: Calm): Promise<string[]> {
  const { membership, judge, pass, until, traffic } = calm;
  const wrong: string[] = [];
  membership.list();
  wrong.push(...(await heat(calm)));
  await coolDown(calm);
  if (calm.cluster.stats().hotKeys.length > 0) wrong.push('a key is still hot');
  wrong.push(...members(calm), ...(await shares(calm)), ...(await comesBackLate(calm)));

  const before = await owners(calm, wrong);
  const names = [...membership.listed.keys()].filter((name) => judge.replicas().some(({ door }) => door.name === name));
  const [gone] = names;
  const listing = gone === undefined ? undefined : membership.listed.get(gone);
  if (gone !== undefined && listing !== undefined) {
    const { key, door } = ownedBy(gone, calm);
    const lasting = traffic.single(key, 4 * calm.discoveryMillis + CLOSING_MILLIS);
    await pass(50);
    membership.listed.delete(gone);
    await pass(4 * calm.discoveryMillis);
    const seen = await until(lasting);
    if (seen?.door !== door) wrong.push(`what was under way on ${gone} when it left did not end there`);
    await pass(CLOSING_MILLIS);
    wrong.push(...members(calm));
    const without = await owners(calm, wrong);
    for (const [key, owner] of before) {
      if (owner !== gone && without.get(key) !== owner) wrong.push(`${key} moved from ${owner} when ${gone} left`);
    }
    membership.listed.set(gone, listing);
    await pass(2 * calm.discoveryMillis + WARM_MILLIS);
    const after = await owners(calm, wrong);
    for (const [key, owner] of before) if (after.get(key) !== owner) wrong.push(`${key} did not come back to ${owner}`);
    wrong.push(...(await leavesHanging(calm, gone)));
  }
  wrong.push(...members(calm), ...consistency(calm));
  return wrong;
}

/** A key that all reads are for is hot, unless none may be or one replica is allowed to bear it. */
async function heat({ cluster, judge, hotKeys, loadFactor, until, traffic }: Calm): Promise<string[]> {
  const doors = new Set<Door | undefined>();
  let last: Seen | undefined;
  for (let i = 0; i < HEATING; i++) {
    last = await until(traffic.single(HOT));
    if (i > HEATING / 2) doors.add(last?.door);
  }
  const { share, target = 'replicas' } = hotKeys === false ? {} : hotKeys;
  const count = judge.replicas().length;
  const mayBeHot = hotKeys !== false && count > 1;
  const isHot = cluster.stats().hotKeys.some(({ hash }) => hash === hashInHex(HOT));
  if (isHot && !mayBeHot) return ['a key is hot, where none may be'];
  if (!mayBeHot || (share ?? (loadFactor - 1) / (count - 1)) > SURELY_HOT) return [];
  if (!isHot) return ['a key that nearly all reads are for is not hot'];
  if (target === 'primary') return last?.server.isPrimary ? [] : ['a hot key is not on the primary'];
  return doors.size > 1 ? [] : ['a hot key is not spread'];
}

/** A replica that was too old for a key stays closed to it until it is at half of the bound. */
async function comesBackLate(calm: Calm): Promise<string[]> {
  const { judge, traffic, pass, until } = calm;
  const [late, ...others] = judge.replicas();
  if (late === undefined || others.length === 0) return [];
  const { server, name } = late.door;
  let count = 0;
  const at = new Set<string | undefined>();
  const lag = async (millis: number, forMillis: number): Promise<void> => {
    server.delayMillis = millis;
    at.clear();
    for (let t = 0; t < forMillis; t += 100) {
      await until(traffic.write());
      await pass(100);
      const { key } = ownedBy(name, calm, 100 * (count++ % 40));
      at.add((await until(traffic.single(key, 0, BOUND_MILLIS)))?.door.name);
    }
  };
  const wrong: string[] = [];
  await lag(2 * BOUND_MILLIS, 4_000);
  await lag(0.7 * BOUND_MILLIS, 2_500);
  if (at.has(name)) wrong.push(`keys came back to ${name} before that was at half of the bound`);
  await lag(0, 2_000);
  if (!at.has(name)) wrong.push(`no key came back to ${name} when that was young again`);
  return wrong;
}

async function coolDown({ pass, until, traffic }: Calm): Promise<void> {
  for (let i = 0; i < COOLINGS; i++) {
    await pass(COOLING_MILLIS);
    for (let j = 0; j < 8; j++) await until(traffic.single(traffic.pickKey()));
  }
}

/** Who should be there is, in good health, and whoever has left has left nothing behind. */
function members({ cluster, membership, given, judge }: Calm): string[] {
  const wrong: string[] = [];
  const { nodes, discovery } = cluster.stats();
  const primary = nodes.find(({ role }) => role === 'primary')?.name as string;
  const expected = new Set([...given, ...membership.listed.keys(), primary]);
  const names = nodes.map(({ name }) => name);
  if (names.toSorted().join() !== [...expected].toSorted().join())
    wrong.push(`there are ${names.join()}, not ${[...expected].join()}`);
  if (discovery?.nodeCount !== names.length - given.length)
    wrong.push(`discovery counts ${discovery?.nodeCount} of ${names.join()}`);
  if (discovery?.problem !== undefined) wrong.push(`discovery: ${discovery.problem}`);
  for (const { name, state } of nodes) if (state !== 'live') wrong.push(`${name} is ${state}`);
  for (const { door } of judge.replicas()) {
    if (membership.listed.has(door.name) && membership.listed.get(door.name)?.server !== door.server)
      wrong.push(`${door.name} is at ${door.server.name}`);
  }
  for (const door of membership.left) {
    if (membership.openOf(door) > 0)
      wrong.push(`${membership.openOf(door)} connections are open to ${door.name}, which has left`);
  }
  return wrong;
}

/** What is under way on a node that hangs when it has left is answered by another one. */
async function leavesHanging(calm: Calm, name: string): Promise<string[]> {
  const { membership, traffic, pass, until, discoveryMillis } = calm;
  const { key, door } = ownedBy(name, calm);
  const takesMillis = 4 * discoveryMillis;
  let at: Door | undefined;
  const lasting = traffic.single(key, takesMillis).then((seen) => {
    at = seen?.door;
  });
  await pass(50);
  membership.listed.delete(name);
  for (let t = 0; t < takesMillis && membership.doors.has(name); t += 20) await pass(20);
  const hasLeft = !membership.doors.has(name);
  door?.server.freeze();
  await pass(takesMillis + HANGING_MILLIS);
  const wrong: string[] = [];
  if (!hasLeft) wrong.push(`${name} did not leave in time`);
  if (at === undefined) wrong.push(`what was under way on ${name} when it left and hung was not answered`);
  if (door !== undefined && membership.openOf(door) > 0)
    wrong.push(`${name} has left and hangs, and connections are open`);
  door?.server.thaw();
  await until(lasting);
  return wrong;
}

/** A key of that node's own. @param from where to begin to look: another one each time, so that none becomes hot */
function ownedBy(name: string, { judge }: Calm, from = 0): { readonly key: string; readonly door: Door | undefined } {
  const doors = judge.replicas().map(({ door }) => door);
  let i = from;
  while (ownerOf(`lasting:${i}`, doors)?.name !== name) i++;
  return { key: `lasting:${i}`, door: doors.find((door) => door.name === name) };
}

/** Each key on its own replica. */
async function owners(
  { judge, until, traffic }: Calm,
  wrong: string[],
): Promise<ReadonlyMap<string, string | undefined>> {
  const found = new Map<string, string | undefined>();
  const replicas = judge.replicas().map(({ door }) => door);
  for (const key of KEYS) {
    const at = (await until(traffic.single(key)))?.door;
    const own = ownerOf(key, replicas);
    if (at !== own) wrong.push(`in the end, ${key} is on ${at?.name}, not on ${own?.name}`);
    found.set(key, at?.name);
  }
  return found;
}

/** Reads without a key: shared by the weights, among the near ones if there are any. */
async function shares({ judge, until, traffic, evenly, zone }: Calm): Promise<string[]> {
  const replicas = judge.replicas().map(({ door }) => door);
  const near = replicas.filter((door) => door.zone !== undefined && door.zone === zone);
  const taking = near.length > 0 ? near : replicas;
  const counts = new Map<Door | undefined, number>();
  await evenly(async () => {
    for (let i = 0; i < UNKEYED; i++) {
      const seen: Seen | undefined = await until(traffic.single(undefined));
      counts.set(seen?.door, (counts.get(seen?.door) ?? 0) + 1);
    }
  });
  const total = taking.reduce((sum, { weight }) => sum + weight, 0);
  const wrong: string[] = [];
  for (const door of taking) {
    const share = (counts.get(door) ?? 0) / UNKEYED;
    counts.delete(door);
    if (share === 0 || Math.abs(share - door.weight / total) > TOLERANCE)
      wrong.push(`${door.name} takes ${share}, not ${door.weight / total}`);
  }
  for (const [door, count] of counts) wrong.push(`${count} reads without a key went to ${door?.name ?? 'nobody'}`);
  return wrong;
}

function consistency({ cluster, judge, hotKeys }: Calm): string[] {
  const wrong: string[] = [];
  const { nodes, routes, hotKeys: hot, fallback, moveCount } = cluster.stats();
  const sum = nodes.reduce((all, { readShare }) => all + readShare, 0);
  if (Math.abs(sum - 1) > 1e-9) wrong.push(`readShare sums to ${sum}`);
  const routed = Object.values(routes).reduce((all, count) => all + count, 0);
  if (routed !== judge.routeCount) wrong.push(`${routed} routes are counted, and ${judge.routeCount} were told`);
  if (hotKeys === false && routes['hot-key'] > 0) wrong.push('keys are hot, where none may be');
  if (hot.length > 256 || hot.some(({ share }) => !(share > 0 && share <= 1))) wrong.push('hotKeys makes no sense');
  if (fallback.inUse !== 0 || fallback.waiting !== 0) wrong.push('turns are still in use');
  if (moveCount > judge.figures.reads) wrong.push(`${moveCount} moves in ${judge.figures.reads} reads`);
  for (const { name, inFlight, pool } of nodes)
    if (inFlight !== 0 || pool.waitingCount !== 0) wrong.push(`something is under way on ${name}`);
  return wrong;
}
