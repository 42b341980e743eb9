import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  request as requestOf,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect as connect2, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { CookieJar } from 'tough-cookie';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { type HttpSessionOptions, httpSessions } from '../../../src/http/sessions.js';
import type { Cluster, RouteEvent, Session, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../fixture.js';

export const SECRET = 'a secret of the tests';

export const LIFETIME_MILLIS = 60_000;

export type Handler = (request: IncomingMessage, response: ServerResponse, session: Session) => unknown;

interface Init {
  readonly body?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** A user's browser: a real cookie jar, and fetch. */
export class Browser {
  readonly jar = new CookieJar(undefined, { prefixSecurity: 'strict' });

  async send(url: string, init: Init = {}): Promise<Response> {
    const cookie = await this.jar.getCookieString(url);
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.timeout(5_000),
      ...init,
      headers: { ...init.headers, ...(cookie === '' ? {} : { cookie }) },
    });
    for (const set of response.headers.getSetCookie()) await this.jar.setCookie(set, url);
    return response;
  }

  async text(url: string, init: Init = {}): Promise<string> {
    return (await this.send(url, init)).text();
  }

  /** The token that it has for that URL. */
  async token(url: string): Promise<string | undefined> {
    return (await this.jar.getCookies(url)).find(({ key }) => key.endsWith('pg-ladder'))?.value;
  }
}

export const tokensIn = (response: Response): string[] =>
  response.headers
    .getSetCookie()
    .filter((cookie) => /^(__Host-)?pg-ladder=/.test(cookie))
    .map((cookie) => cookie.split(/[=;]/, 2)[1] ?? '');

/** POST with a body that comes in parts: the later ones when the server is already at work on the request. */
export async function slowPost(
  server: { once(event: 'request', listener: () => void): unknown },
  url: string,
  type: string,
  [first = '', ...others]: readonly string[],
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  const length = Buffer.byteLength([first, ...others].join(''));
  const request = requestOf(url, { method: 'POST', headers: { 'Content-Type': type, 'Content-Length': length } });
  const begun = new Promise<void>((resolve) => server.once('request', resolve));
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.write(first);
  await begun;
  request.end(others.join(''));
  const [response] = await answered;
  response.resume();
  await once(response, 'end');
  request.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers };
}

export async function answerOf2(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ headers: IncomingHttpHeaders & { ':status'?: number }; body: string; bytes: Buffer }> {
  const client = connect2(url, { rejectUnauthorized: false });
  try {
    const stream = client.request({ ':path': '/', ...headers });
    const failed = Promise.race([once(client, 'close'), once(stream, 'close')]).then(() => {
      throw new Error('closed without an answer');
    });
    failed.catch(() => {});
    stream.end();
    const [received] = (await Promise.race([once(stream, 'response'), failed])) as [IncomingHttpHeaders];
    const bytes = Buffer.concat((await stream.toArray()) as Buffer[]);
    return { headers: received, body: String(bytes), bytes };
  } finally {
    client.destroy();
  }
}

export let servers: TestCluster;

export let cluster: Cluster;

export let routes: RouteEvent[];

export let warnings: WarningEvent[];

let failures: unknown[];

export let closers: (() => Promise<unknown>)[];

let nameCount = 0;

export const openOne = async (options: Parameters<typeof open>[1] = {}) => {
  const one = await open(servers, { secrets: [SECRET], tokenLifetimeMillis: LIFETIME_MILLIS, ...options });
  closers.push(() => one.close());
  return one;
};

export const caughtUp = () => Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));

export const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));

/** Nobody has had it before, so that no test takes another one's for its own. */
export const newName = () => `name ${++nameCount}`;

/** It brings no position along: without values it could be several statements. So its position is asked for, and can be held up. */
export const save = (name: string, on = cluster) =>
  on.write(`update names set name = ${pg.escapeLiteral(name)} where id = 1`);

export const nameNow = async (on = cluster) =>
  (await on.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name ?? '';

export const codes = () => warnings.map(({ code }) => code);

export const lastRoute = () => routes.at(-1);

export async function listen(server: Server | Http2Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closers.push(async () => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What Node calls for each request; what the handler throws is the test's own mistake. */
export const within = (handler: Handler, options: HttpSessionOptions = {}, on = cluster): RequestListener => {
  const sessions = httpSessions(on, options);
  return (request, response) => {
    const run = async () => sessions.run(request, response, (session) => handler(request, response, session));
    run().catch((error: unknown) => {
      failures.push(error);
      response.destroy();
    });
  };
};

export const serve = (handler: Handler, options: HttpSessionOptions = {}, on = cluster) =>
  listen(createServer(within(handler, options, on)));

/** POST saves the name in its URL, GET tells it. */
export const profile =
  (on = cluster): Handler =>
  async (request, response) => {
    const name = decodeURIComponent(request.url?.slice(1) ?? '');
    if (request.method === 'POST') await save(name, on);
    response.end(request.method === 'POST' ? 'saved' : await nameNow(on));
  };

export const post = (url: string, name: string, browser: Browser, headers: Record<string, string> = {}) =>
  browser.send(`${url}/${encodeURIComponent(name)}`, { method: 'POST', headers });

/** The token of a write that has just been made; replicas stay as they are. */
export const tokenOf = (name: string, options = {}) =>
  cluster.session(
    async (session) => {
      await save(name);
      return session.token();
    },
    { inherit: 'none', ...options },
  );

/** Starts the servers once a file, and opens a cluster over them for each test. */
export function servesRequests(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, links: true });
    await using setUp = await open(servers);
    await setUp.write('create table names (id int primary key, name text not null)');
    await setUp.write("insert into names values (1, 'nobody')");
    await setUp.write('create table notes (note text)');
    await caughtUp();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    closers = [];
    failures = [];
    cluster = await openOne();
    routes = [];
    warnings = [];
    cluster.events.on('route', (event) => routes.push(event));
    cluster.events.on('warning', (event) => warnings.push(event));
  });
  afterEach(async () => {
    for (const { link } of servers.nodes) link.restore();
    for (const close of closers.reverse()) await close();
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    expect(failures).toEqual([]);
  });
}
