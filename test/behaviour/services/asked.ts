/** A service of ours and a stranger, which write down what they are asked: what the tests of calls to other services share. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as undici from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { sessionInterceptor } from '../../../src/http/sessions.js';
import type { Cluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../fixture.js';

const secrets = ['a secret of this test alone'];

export const HEADER = 'pg-ladder-token';

/** What a service was asked, as it says itself. */
export interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** In the order, the case and the number they came in. */
  raw: string[];
  body: string;
}

export async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

export let servers: TestCluster;

export let cluster: Cluster;

/** The other service's own. */
export let remote: Cluster;

export let service: Server;

export let stranger: Server;

export let origin: string;

export let strangeOrigin: string;

export let asked: Asked[];

export let strangerAsked: Asked[];

/** What the service's answers carry. */
export const now = {} as { answered: string | string[] | undefined };

export let agent: undici.Dispatcher;

export let inner: undici.Agent;

const echo = (into: () => Asked[]) =>
  createServer((request, response: ServerResponse) => {
    let body = '';
    request.on('data', (data: Buffer) => {
      body += data.toString('latin1');
    });
    request.on('end', () => {
      const { method = '', url = '', headers, rawHeaders } = request;
      into().push({ method, path: url, headers, raw: rawHeaders, body });
      const { pathname, searchParams } = new URL(url, 'http://here');
      if (pathname === '/to') {
        const [status = '302', token] = [searchParams.get('status') ?? undefined, searchParams.get('token')];
        if (token !== null) response.setHeader(HEADER, token);
        response.writeHead(Number(status), { location: searchParams.get('location') ?? '' }).end('moved');
        return;
      }
      if (now.answered !== undefined) response.setHeader(HEADER, now.answered);
      if (url === '/never') return;
      if (url === '/broken') {
        response.writeHead(200, { 'content-length': 100 }).write('half');
        setImmediate(() => response.destroy());
      } else if (url === '/large') response.end('x'.repeat(1_000_000));
      else response.end(body);
    });
  });

export const rename = (of: Cluster, name: string) => of.write('update names set name = $1 where id = 1', [name]);

export const nameNow = async (of: Cluster) =>
  (await of.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name;

export const lastToken = () => String(asked.at(-1)?.headers[HEADER]);

export const alone = { inherit: 'none' } as const;

/** A service's answer, after a write that this process knows nothing of. */
export const renamedRemotely = (name: string) =>
  remote.session(async (session) => {
    await rename(remote, name);
    return session.token();
  }, alone);

/** From here on, what is asked counts anew. */
export function forgetAsked(): void {
  asked = [];
  strangerAsked = [];
}

/** Starts the servers once a file, and both services anew for each test. */
export function asksServices(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets, hangMillis: 1_000 });
    remote = await open(servers, { secrets });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'old')");
    await servers.replicas[0]?.waitForReplay();
    service = echo(() => asked);
    stranger = echo(() => strangerAsked);
    origin = await listening(service);
    strangeOrigin = await listening(stranger);
  });
  afterAll(async () => {
    await Promise.all([closed(service), closed(stranger), cluster.close(), remote.close()]);
    await servers.stop();
  });
  beforeEach(async () => {
    asked = [];
    strangerAsked = [];
    now.answered = undefined;
    inner = new undici.Agent();
    agent = inner.compose(sessionInterceptor(cluster, { origins: [origin] }));
    await cluster.write("update names set name = 'old' where id = 1");
    await servers.replicas[0]?.waitForReplay();
  });
  afterEach(async () => {
    await inner.destroy();
    await servers.replicas[0]?.resumeReplay();
  });
}
