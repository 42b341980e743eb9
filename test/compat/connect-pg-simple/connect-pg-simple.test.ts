/** connect-pg-simple takes a pool as `pool`: a login that was saved is there for the next request, whichever server answers it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import connectPgSimple from 'connect-pg-simple';
import session, { type SessionData } from 'express-session';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';

declare module 'express-session' {
  interface SessionData {
    user: string;
    age: number;
  }
}

const PgStore = connectPgSimple(session);

/** Its calls as promises: express-session itself wants callbacks. */
function promised(store: InstanceType<typeof PgStore>) {
  const get: (sid: string) => Promise<SessionData | null | undefined> = promisify(store.get.bind(store));
  const set: (sid: string, data: SessionData) => Promise<void> = promisify(store.set.bind(store));
  const touch: (sid: string, data: SessionData) => Promise<void> = promisify(store.touch.bind(store));
  const destroy: (sid: string) => Promise<void> = promisify(store.destroy.bind(store));
  const prune: () => Promise<void> = promisify(store.pruneSessions.bind(store));
  return { get, set, touch, destroy, prune };
}

function login(user: string, { age = 0, expires = new Date(Date.now() + 60_000) } = {}): SessionData {
  return { cookie: { originalMaxAge: null, expires }, user, age };
}

describe('connect-pg-simple on cluster.pool(), while the replicas’ replay is paused half of the time', () => {
  let stage: Stage;
  let store: InstanceType<typeof PgStore>;
  let sessions: ReturnType<typeof promised>;

  beforeAll(async () => {
    stage = await openStage();
    await jitter(stage.servers);
    store = new PgStore({ pool: stage.pool, createTableIfMissing: true });
    sessions = promised(store);
  });
  afterAll(async () => {
    await store.close();
    await stage[Symbol.asyncDispose]();
  });

  const rowOf = async (sid: string): Promise<{ expire: Date } | undefined> => {
    const { rows } = await stage.pool.query<{ expire: Date }>('select expire from session where sid = $1', [sid]);
    return rows[0];
  };

  it('creates its table at the first login, and finds that login at once', async () => {
    await sessions.set('first', login('Ada'));
    expect(await sessions.get('first')).toMatchObject({ user: 'Ada', age: 0 });
    expect(await sessions.get('nobody')).toBeUndefined();
  });

  it('finds a changed session, its new end and that it is gone, each at once', async () => {
    await sessions.set('changed', login('Ada'));
    await sessions.set('changed', login('Ada', { age: 36 }));
    expect(await sessions.get('changed')).toMatchObject({ user: 'Ada', age: 36 });

    const before = await rowOf('changed');
    await sessions.touch('changed', login('Ada', { expires: new Date(Date.now() + 3_600_000) }));
    const after = await rowOf('changed');
    expect(Number(after?.expire) - Number(before?.expire)).toBeGreaterThan(3_000_000);

    await sessions.destroy('changed');
    expect(await sessions.get('changed')).toBeUndefined();
  });

  it('prunes what has expired, and only that', async () => {
    await sessions.set('expired', login('Ada', { expires: new Date(Date.now() - 60_000) }));
    await sessions.set('lasting', login('Ada'));
    expect(await rowOf('expired')).toBeDefined();
    await sessions.prune();
    expect(await rowOf('expired')).toBeUndefined();
    expect(await rowOf('lasting')).toBeDefined();
  });

  it('sees what a transaction on the same pool commits, and nothing of what it rolls back', async () => {
    const logOutEverywhere = async (end: 'commit' | 'rollback'): Promise<void> => {
      const client = await stage.pool.connect();
      try {
        await client.query('begin');
        await client.query(`delete from session where sess->>'user' = $1`, ['Grace']);
        await client.query(`insert into session select 'farewell', '{"user": "nobody"}', now() + interval '1 hour'`);
        await client.query(end);
      } finally {
        client.release();
      }
    };
    await sessions.set('laptop', login('Grace'));
    await sessions.set('phone', login('Grace'));

    await logOutEverywhere('rollback');
    expect(await sessions.get('laptop')).toMatchObject({ user: 'Grace' });
    expect(await sessions.get('farewell')).toBeUndefined();

    await logOutEverywhere('commit');
    expect(await sessions.get('laptop')).toBeUndefined();
    expect(await sessions.get('phone')).toBeUndefined();
    expect(await sessions.get('farewell')).toMatchObject({ user: 'nobody' });
  });

  it('reports a unique violation to its callback', async () => {
    await stage.pool.query(`create unique index one_login on session ((sess->>'user')) where sess->>'user' = 'Linus'`);
    await sessions.set('linus', login('Linus'));
    await expect(sessions.set('linus again', login('Linus'))).rejects.toMatchObject({
      code: '23505',
      constraint: 'one_login',
    });
    expect(await sessions.get('linus again')).toBeUndefined();
  });

  it('reports a missing table to its callback', async () => {
    const lost = new PgStore({ pool: stage.pool, tableName: 'lost', pruneSessionInterval: false });
    await expect(promised(lost).get('any')).rejects.toMatchObject({ code: '42P01' });
  });

  it('finds each of a hundred logins at once, though most had to wait for one of the pool’s ten clients', async () => {
    const users = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        stage.cluster.session(
          async () => {
            await sessions.set(`crowd ${i}`, login(`P${i}`));
            return (await sessions.get(`crowd ${i}`))?.user;
          },
          { inherit: 'none' },
        ),
      ),
    );
    expect(users).toEqual(Array.from({ length: 100 }, (_, i) => `P${i}`));
  });

  it('carries an express-session from one request to the next', async () => {
    const withSession = session({ store, secret: 'not a secret', resave: false, saveUninitialized: false });
    const server = createServer((request, response) => {
      // As in an application with Express, which types its request: express-session itself takes Node's.
      const req = request as unknown as Parameters<typeof withSession>[0];
      withSession(req, response as unknown as Parameters<typeof withSession>[1], (error?: unknown) => {
        if (error !== undefined) {
          response.writeHead(500).end(String(error));
          return;
        }
        req.session.age = (req.session.age ?? 0) + 1;
        response.end(String(req.session.age));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    try {
      const first = await fetch(url);
      expect(await first.text()).toBe('1');
      const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
      for (let count = 2; count <= 20; count++) {
        const next = await fetch(url, { headers: { cookie } });
        expect(await next.text()).toBe(String(count));
      }
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('reads each session as it was last saved, and mostly from a replica', async () => {
    const { stale, share } = await readYourWrites('connect-pg-simple', stage.cluster, {
      save: (id, age) => sessions.set(`person ${id}`, login(`P${id}`, { age })),
      age: async (id) => (await sessions.get(`person ${id}`))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});
