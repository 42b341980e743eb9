/**
 * This library. Every caller has a session of its own that has written, so that each of its reads is held to a real position;
 * no read is let off because there is nothing to be stale against.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Pool, PoolClient } from 'pg';
import type * as library from '../../src/index.js';
import { CALLERS, POINT, RANGE, UPDATE } from '../statements.js';
import { type LadderSpec, type Open, POOL, type Statements } from './access.js';
import { accessThrough } from './pooled.js';

interface Item {
  readonly value: number;
}

/** As users get it: what compiles the benchmark on the fly gives every function a name at run time, which costs as much as a statement. */
const BUILT = new URL('../../dist/index.js', import.meta.url).href;

type Enter = <T>(fn: () => T) => T;

/** What a caller keeps from one operation to the next, as a browser does. */
interface Visitor {
  token: string | undefined;
}

/** So many writes of others a second, in the same process. */
const OTHERS_PER_SECOND = 1_000;

export const open: Open<LadderSpec> = async (servers, spec, work) => {
  const { lane, namedStatements, tokens = false, pooled = false, sessions: kind, build = BUILT, caches } = spec;
  const { createCluster } = (await import(build)) as typeof library;
  const node = (connectionString: string) => ({ connectionString, ...POOL });
  const cluster = createCluster({
    primary: node(servers.primary),
    replicas: servers.replicas.map(node),
    lane,
    namedStatements,
    ...(caches === undefined ? {} : { cache: caches === 'observe' ? { auto: caches } : caches }),
  });
  await cluster.ready();
  const others = work === 'beside' ? setInterval(() => writeAsOthers(cluster), 10) : undefined;
  const close = (): Promise<void> => {
    clearInterval(others);
    return cluster.close(); // and with it the pool
  };
  if (kind !== undefined) {
    const visitors = new AsyncLocalStorage<Visitor>();
    return {
      ...inSessions(cluster, kind, visitors),
      as: (_, fn) => visitors.run({ token: undefined }, fn),
      close,
    };
  }

  const sessions = new Map<number, Enter>();
  /** A session that lives as long as the caller: what runs in it later runs where it was opened. */
  const openSession = (caller: number) =>
    cluster.session(
      async () => {
        const enter: Enter = AsyncLocalStorage.snapshot();
        await cluster.write('update items set value = value where id = $1', [caller]);
        return enter;
      },
      { inherit: 'none' },
    );

  return {
    ...(pooled ? throughPool(cluster.pool()) : directly(cluster, tokens)),
    async as(caller, fn) {
      const enter = sessions.get(caller) ?? (await openSession(caller));
      sessions.set(caller, enter);
      return enter(fn);
    },
    close,
  };
};

function writeAsOthers(cluster: library.Cluster): void {
  for (let i = 0; i < OTHERS_PER_SECOND / 100; i++) {
    cluster.write(UPDATE, [CALLERS + i, i]).catch(() => undefined);
  }
}

/** Each statement in a session of its own. */
function inSessions(
  cluster: library.Cluster,
  kind: NonNullable<LadderSpec['sessions']>,
  visitors: AsyncLocalStorage<Visitor>,
): Statements {
  const options = kind === 'eventual' ? ({ consistency: 'eventual' } as const) : {};
  const session = <T>(fn: (session: library.Session) => Promise<T>): Promise<T> => {
    const { token } = visitors.getStore() ?? {};
    const from = kind === 'process' ? {} : { inherit: 'none' as const, ...(token === undefined ? {} : { token }) };
    return cluster.session(fn, from);
  };
  return {
    ...directly(cluster, false),
    point: (id) =>
      session(async () => {
        const { rows } = await cluster.read<Item & Record<string, unknown>>(POINT, [id], options);
        return rows[0]?.value;
      }),
    update: (id, value) =>
      session(async (own) => {
        await cluster.write(UPDATE, [id, value]);
        const visitor = visitors.getStore();
        if (kind === 'none' && visitor !== undefined) visitor.token = await own.token();
      }),
  };
}

/** One pool for everything: where a statement goes is for the pool to say. */
function throughPool(pool: Pool): Statements {
  return accessThrough({ writes: pool, reads: pool });
}

function directly(cluster: library.Cluster, tokens: boolean): Statements {
  return {
    async point(id) {
      const { rows } = await cluster.read<Item & Record<string, unknown>>(POINT, [id]);
      return rows[0]?.value;
    },
    range: async (first, count) => (await cluster.read(RANGE, [first, first + count])).rows.length,
    update: tokens
      ? (id, value) =>
          cluster.session(
            async (session) => {
              await cluster.write(UPDATE, [id, value]);
              return session.token();
            },
            { inherit: 'none' },
          )
      : (id, value) => cluster.write(UPDATE, [id, value]),
    transaction: (id, value) =>
      cluster.transaction(async (client: PoolClient) => {
        await client.query(POINT, [id]);
        await client.query(UPDATE, [id, value]);
      }),
  };
}
