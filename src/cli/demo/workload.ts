/**
 * The users: each opens its profile, saves it, reloads the page, and goes away for a moment. When
 * they come is drawn from the seed alone, so that every strategy meets the same users at the same
 * moments. Judges what they are shown.
 */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { within } from './deadline.js';
import type { Access, Page } from './strategies.js';

export const USERS = 32;

const LAST_QUERIES_MILLIS = 5_000;

/**
 * Qualified like all that the library sends by itself: other users of the machine may reach the
 * demo's servers.
 */
export const SCHEMA = `
  create table public.profiles (id int primary key, version int not null, name pg_catalog.text not null) with (fillfactor = 50);
  insert into public.profiles select id, 0, pg_catalog.concat('user ', id) from pg_catalog.generate_series(1, ${USERS}) as id`;

const LOAD = 'select version, name from public.profiles where id operator(pg_catalog.=) $1';
const SAVE = `update public.profiles set version = version operator(pg_catalog.+) 1, name = $2
  where id operator(pg_catalog.=) $1 returning version`;

/** What the users saw of a strategy. */
export interface Seen {
  saveCount: number;
  readCount: number;
  /**
   * Reads that showed a user an older profile than the one last saved, and acknowledged, before.
   */
  staleCount: number;
  /** Those of them that came from a cache. */
  staleKeptCount: number;
  /** How long each read took for its caller, in no order. */
  readonly readMillis: number[];
}

/**
 * @throws whatever the first query to fail threw, an AbortError, or an Error when queries get no
 * answer; no user sends another one then
 */
export async function runUsers(access: Access, seconds: number, seed: number, signal: AbortSignal): Promise<Seen> {
  const seen: Seen = { saveCount: 0, readCount: 0, staleCount: 0, staleKeptCount: 0, readMillis: [] };
  const startAt = performance.now();
  const endAt = startAt + seconds * 1_000;
  const failed = new AbortController();
  const ending = AbortSignal.any([signal, failed.signal]);
  setMaxListeners(USERS + 1, ending);

  const live = async (user: number): Promise<void> => {
    const absences = absencesOf(user, seed);
    let lastSaved = 0;
    const load = async (page: Page): Promise<void> => {
      const askedAt = performance.now();
      const { rows, isKept = false } = await page.read(LOAD, [user]);
      seen.readMillis.push(performance.now() - askedAt);
      seen.readCount++;
      if (rows[0].version >= lastSaved) return;
      seen.staleCount++;
      if (isKept) seen.staleKeptCount++;
    };
    const visit = async (page: Page): Promise<void> => {
      await load(page);
      const { rows } = await page.write(SAVE, [user, `user ${user}, saved at ${Date.now()}`]);
      lastSaved = rows[0].version;
      seen.saveCount++;
      await load(page);
    };
    for (let at = startAt + next(absences) / 2; at < endAt; at += next(absences)) {
      await sleep(Math.max(0, at - performance.now()), undefined, { signal: ending });
      if (performance.now() >= endAt) return;
      await access.page(user, visit);
    }
  };
  const lives = Array.from({ length: USERS }, (_, index) =>
    live(index + 1).catch((error: unknown) => {
      failed.abort();
      throw error;
    }),
  );
  const gone = Promise.allSettled(lives);
  await Promise.race([gone, sleep(endAt - performance.now(), undefined, { signal: ending }).catch(() => {})]);
  await within(LAST_QUERIES_MILLIS, 'the last queries', gone);
  await Promise.all(lives);
  return seen;
}

/**
 * From one visit's start to the next one's, in milliseconds: a moment as a rule, now and then a few
 * seconds.
 */
function* absencesOf(user: number, seed: number): Generator<number, never> {
  const random = uniform(seed * 1_009 + user);
  for (;;) yield random() < 0.05 ? 1_000 + random() * 3_000 : 60 + random() * 120;
}

function next(numbers: Generator<number, never>): number {
  return numbers.next().value;
}

/** Numbers in [0, 1), the same for the same seed: Tommy Ettinger's mulberry32. */
function uniform(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
