/** Sessions in requests whose users are known, by each of the ways to set them up. */
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Cluster, RouteEvent, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../fixture.js';

export interface Known {
  user?: { readonly id: string };
}

/** What the application does, whatever it is built with. */
interface App {
  /** Before authentication: what a session store would do. */
  early(path: string): Promise<string>;
  /** Authentication itself: whoever says who he is, is that. */
  authenticate(request: Known & { headers: IncomingMessage['headers'] }): void;
  /** A login, a page, or something that is saved. */
  handle(request: Known, path: string): Promise<string>;
}

let servers: TestCluster;

export let cluster: Cluster;

export let warnings: WarningEvent[];

export let routes: RouteEvent[];

export let closers: (() => unknown)[];

let nameCount = 0;

export const newName = () => `name ${++nameCount}`;

export const save = (name: string) => cluster.write('update names set name = $1 where id = 1', [name]);

export const nameNow = async () =>
  (await cluster.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name ?? '';

export const app: App = {
  early: async (path) => (path.startsWith('/early') ? nameNow() : ''),
  authenticate: (request) => {
    const { 'x-user': id } = request.headers;
    if (typeof id === 'string') request.user = { id };
  },
  handle: async (request, path) => {
    const [, what = '', value = ''] = path.split('/');
    if (what === 'save') await save(decodeURIComponent(value));
    if (what !== 'login') return nameNow();
    // As passport does it: the user is looked up before anybody is known, and what is kept of the login is written.
    await nameNow();
    request.user = { id: value };
    await cluster.write('update names set name = name where id = 1');
    return 'welcome';
  },
};

export const subject = (request: Known) => request.user?.id;

export async function listen(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  closers.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Starts the servers once a file, and opens a cluster over them for each test. */
export function knowsUsers(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets: ['a secret of the tests'] });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'nobody')");
    cluster.events.on('warning', (event) => warnings.push(event));
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });
  beforeEach(async () => {
    [warnings, routes, closers] = [[], [], []];
    await servers.replicas[0]?.waitForReplay();
    await servers.replicas[0]?.pauseReplay();
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    await servers.replicas[0]?.resumeReplay();
  });
}
