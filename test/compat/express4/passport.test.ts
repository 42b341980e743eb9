/**
 * Passport and express-session, the latter with its sessions in PostgreSQL through cluster.pool(): a login is there for the next request on another process, and
 * the session of pg-ladder survives what these put around requests and answers.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import connectPgSimple from 'connect-pg-simple';
import express from 'express';
import expressSession from 'express-session';
import passport from 'passport';
import { Strategy } from 'passport-local';
import { CookieJar } from 'tough-cookie';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sessionMiddleware } from '../../../src/http/express.js';
import type { Cluster, Session, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../../behaviour/fixture.js';

declare module 'express-session' {
  interface SessionData {
    visits: number;
  }
}

const PgStore = connectPgSimple(expressSession);

interface User {
  readonly id: number;
  readonly name: string;
}

interface App extends AsyncDisposable {
  readonly url: string;
  readonly cluster: Cluster;
}

describe('passport and express-session on Express 4, with two processes and a replica that has stopped', () => {
  let servers: TestCluster;
  let here: App;
  let there: App;
  let warnings: WarningEvent[];
  /** The session of pg-ladder at each place that a request passed. */
  let seen: [place: string, session: Session | undefined][];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    [here, there] = await Promise.all([start(), start()]);
    await here.cluster.write(
      'create table users (id int primary key, name text not null unique, password text not null)',
    );
    await here.cluster.write("insert into users values (1, 'ada', 'secret')");
    // As connect-pg-simple's own table.sql has it.
    await here.cluster.write(
      'create table session (sid varchar primary key, sess json not null, expire timestamp(6) not null)',
    );
    await servers.replicas[0]?.waitForReplay();
  });
  beforeEach(async () => {
    warnings = [];
    seen = [];
    await servers.replicas[0]?.pauseReplay();
  });
  afterEach(async () => {
    await servers.replicas[0]?.resumeReplay();
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(async () => {
    await here[Symbol.asyncDispose]();
    await there[Symbol.asyncDispose]();
    await servers.stop();
  });

  async function start(): Promise<App> {
    const cluster = await open(servers, { secrets: ['a secret of the tests'] });
    cluster.events.on('warning', (event) => warnings.push(event));
    const pool = cluster.pool();
    const see = (place: string) => void seen.push([place, cluster.currentSession()]);
    class SeeingStore extends PgStore {
      override set(...args: Parameters<InstanceType<typeof PgStore>['set']>): void {
        see('save');
        super.set(...args);
      }
    }
    const store = new SeeingStore({ pool, pruneSessionInterval: false });
    const userWhere = async (condition: string, values: unknown[]): Promise<User | undefined> =>
      (await cluster.read<{ id: number; name: string }>(`select id, name from users where ${condition}`, values))
        .rows[0];

    const own = new passport.Passport();
    own.use(
      new Strategy((name, password, done) => {
        see('authenticate');
        userWhere('name = $1 and password = $2', [name, password]).then((user) => {
          see('authenticated');
          done(null, user ?? false);
        }, done);
      }),
    );
    own.serializeUser((user, done) => {
      see('serializeUser');
      done(null, (user as User).id);
    });
    own.deserializeUser((id: number, done) => {
      see('deserializeUser');
      userWhere('id = $1', [id]).then((user) => done(null, user ?? false), done);
    });

    const app = express();
    app.use(sessionMiddleware(cluster));
    app.use((_request, _response, next) => {
      see('first');
      next();
    });
    app.use(
      expressSession({ store, secret: 'not a secret', resave: false, saveUninitialized: false }),
      express.urlencoded({ extended: false }),
      own.session(),
    );
    app.post('/login', own.authenticate('local'), (request, response) => {
      see('handler');
      response.json(request.user);
    });
    app.post('/register', (request, response, next) => {
      const { username, password } = request.body as Record<string, string>;
      cluster
        .write<{ id: number; name: string }>(
          'insert into users select max(id) + 1, $1, $2 from users returning id, name',
          [username, password],
        )
        .then(({ rows }) => {
          see('registered');
          request.logIn(rows[0] as User, (error: unknown) => {
            see('handler');
            if (error === undefined || error === null) response.redirect(303, '/me');
            else next(error);
          });
        }, next);
    });
    app.get('/me', (request, response) => {
      see('handler');
      response.json(request.user ?? null);
    });
    app.post('/logout', (request, response, next) => {
      request.logout((error: unknown) => (error === undefined || error === null ? response.end() : next(error)));
    });
    app.post('/visit', (request, response) => {
      request.session.visits = (request.session.visits ?? 0) + 1;
      const text = `visit ${request.session.visits}`;
      if (request.query['as'] === 'json') response.json(text);
      else if (request.query['as'] === 'nothing') response.status(204).end();
      else if (request.query['as'] === 'saved') request.session.save(() => response.end(text));
      else response.end(text);
    });
    app.get('/visits', (request, response) => {
      response.json(request.session.visits ?? 0);
    });

    const server = createServer(app);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      cluster,
      async [Symbol.asyncDispose]() {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        await store.close();
        await pool.end();
        await cluster.close();
      },
    };
  }

  /** A browser: cookies do not mind the port, so both processes are the same host to it. */
  const browser = () => {
    const jar = new CookieJar();
    return async (app: App, method: string, path: string, form?: Record<string, string>): Promise<Response> => {
      const cookie = await jar.getCookieString(app.url);
      const response = await fetch(app.url + path, {
        method,
        redirect: 'manual',
        headers: { cookie },
        signal: AbortSignal.timeout(5_000),
        ...(form === undefined ? {} : { body: new URLSearchParams(form) }),
      });
      for (const set of response.headers.getSetCookie()) await jar.setCookie(set, app.url);
      return response;
    };
  };
  const cookieNames = (response: Response) => response.headers.getSetCookie().map((cookie) => cookie.split('=')[0]);
  const places = () => seen.map(([place]) => place);
  const codes = () => warnings.map(({ code }) => code);

  it('keeps its session from the form’s body through authenticate and deserializeUser to the handler', async () => {
    const ada = browser();
    const login = await ada(here, 'POST', '/login', { username: 'ada', password: 'secret' });
    expect([login.status, await login.json()]).toEqual([200, { id: 1, name: 'ada' }]);
    // Express-session saves a new session anew at the end, whoever has saved it before.
    expect(places()).toEqual(['first', 'authenticate', 'authenticated', 'serializeUser', 'save', 'handler', 'save']);
    expect(seen[0]?.[1]).toBeDefined();
    expect(new Set(seen.map(([, session]) => session)).size).toBe(1);

    seen = [];
    expect(await (await ada(there, 'GET', '/me')).json()).toEqual({ id: 1, name: 'ada' });
    expect(places()).toEqual(['first', 'deserializeUser', 'handler']);
    expect(seen[0]?.[1]).toBeDefined();
    expect(new Set(seen.map(([, session]) => session)).size).toBe(1);
  });

  it('shows who has just registered to the next request on another process, and who has logged out as nobody', async () => {
    const grace = browser();
    const registered = await grace(here, 'POST', '/register', { username: 'grace', password: 'hopper' });
    expect([registered.status, cookieNames(registered).sort()]).toEqual([303, ['connect.sid', 'pg-ladder']]);
    expect(await (await grace(there, 'GET', '/me')).json()).toEqual({ id: 2, name: 'grace' });
    expect((await grace(there, 'POST', '/logout')).status).toBe(200);
    expect(await (await grace(here, 'GET', '/me')).json()).toBeNull();
    // Whoever has no token has the replica's past: it knows neither the user nor her login.
    expect((await browser()(there, 'POST', '/login', { username: 'grace', password: 'hopper' })).status).toBe(401);
  });

  it('refuses a wrong password, and sets no token for it', async () => {
    const refused = await browser()(here, 'POST', '/login', { username: 'ada', password: 'wrong' });
    expect([refused.status, cookieNames(refused)]).toEqual([401, []]);
  });

  it('covers a web session that was saved before its answer', async () => {
    const ben = browser();
    const visited = await ben(here, 'POST', '/visit?as=saved');
    expect(cookieNames(visited).sort()).toEqual(['connect.sid', 'pg-ladder']);
    expect(await (await ben(there, 'GET', '/visits')).json()).toBe(1);
  });

  it('keeps its session where express-session saves its own at the end of an answer', async () => {
    await (await browser()(here, 'POST', '/visit')).text();
    expect(places()).toEqual(['first', 'save']);
    expect(seen[0]?.[1]).toBeDefined();
    expect(seen[1]?.[1]).toBe(seen[0]?.[1]);
  });

  it('warns of nothing when express-session puts off the end of a login that is used', async () => {
    const ada = browser();
    await ada(here, 'POST', '/login', { username: 'ada', password: 'secret' });
    expect(await (await ada(there, 'GET', '/me')).json()).toEqual({ id: 1, name: 'ada' });
    expect(codes()).toEqual([]);
  });

  it.each(['text', 'json', 'nothing'])(
    'covers the web session that express-session saves when an answer ends, with %s in it',
    async (as) => {
      const ben = browser();
      for (const [i, app] of [here, there, here].entries()) {
        const visited = await ben(app, 'POST', `/visit?as=${as}`);
        expect(cookieNames(visited)).toContain('pg-ladder');
        const next = app === here ? there : here;
        expect(await (await ben(next, 'GET', '/visits')).json()).toBe(i + 1);
      }
      expect(codes()).toEqual([]);
    },
  );
});
