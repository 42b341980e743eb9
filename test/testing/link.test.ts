import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { type OpenLink, openLink } from '../../src/testing/link.js';
import { RunningClock } from '../behaviour/fixture.js';
import { isPendingAfter, open, query } from './query.js';

describe('a link', () => {
  let echo: Server;
  let link: OpenLink;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
    await once(echo.listen(0, '127.0.0.1'), 'listening');
    link = await openLink({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await link.close();
    echo.close();
  });

  async function dial(): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: link.port, allowHalfOpen: true });
    sockets.push(socket);
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  async function receive(socket: Socket, bytes: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (let length = 0; length < bytes; ) {
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      chunks.push(chunk);
      length += chunk.length;
    }
    return Buffer.concat(chunks);
  }

  const reset = (socket: Socket) =>
    new Promise((resolve) => socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)));

  it('passes megabytes unchanged, then the end', async () => {
    const socket = await dial();
    const sent = Buffer.alloc(4_000_000, 'pg-ladder ');
    socket.end(sent);
    const received = await receive(socket, sent.length);
    expect(received.equals(sent)).toBe(true);
    await once(socket, 'end');
  });

  it('makes each round trip later by the delay, and keeps the order', async () => {
    const socket = await dial();
    link.delay(100);
    const clock = new RunningClock();
    const startedAt = performance.now();
    for (const word of ['one ', 'two ', 'three']) socket.write(word);
    expect(String(await receive(socket, 13))).toBe('one two three');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(99);
    expect(clock.now()).toBeLessThan(1_000);
    clock.stop();
  });

  it('drips', async () => {
    const socket = await dial();
    link.drip({ bytes: 2, everyMillis: 20 });
    const startedAt = performance.now();
    socket.write('0123456789');
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(String(first)).toBe('01');
    expect(String(await receive(socket, 8))).toBe('23456789');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(75);
  });

  it('delivers at once what it held back, when it is restored', async () => {
    const socket = await dial();
    link.delay(60_000);
    socket.write('late');
    expect(await isPendingAfter(50, once(socket, 'data'))).toBe(true);
    link.restore();
    expect(String(await receive(socket, 4))).toBe('late');
  });

  it('half open: keeps connections and accepts new ones, and nothing goes through until it is restored', async () => {
    const old = await dial();
    link.halfOpen();
    const young = await dial();
    old.write('old');
    young.end('young');
    expect(await isPendingAfter(100, Promise.race([once(old, 'data'), once(young, 'data'), once(young, 'end')]))).toBe(
      true,
    );
    link.restore();
    expect(String(await receive(old, 3))).toBe('old');
  });

  it('forgets: nothing goes through what is open now, not even later; what is opened then is sound', async () => {
    const old = await dial();
    link.forget();
    const young = await dial();
    old.write('old');
    young.write('young');
    expect(String(await receive(young, 5))).toBe('young');
    link.restore();
    expect(await isPendingAfter(100, once(old, 'data'))).toBe(true);
  });

  it('half open: does not tell the server of a client that went away', async () => {
    const connections = () => new Promise<number>((resolve) => echo.getConnections((_, count) => resolve(count)));
    const socket = await dial();
    socket.write('x');
    await receive(socket, 1);
    link.halfOpen();
    socket.resetAndDestroy();
    expect(await isPendingAfter(100, expect.poll(connections, { timeout: 5_000, interval: 5 }).toBe(0))).toBe(true);
    link.restore();
    await expect.poll(connections).toBe(0);
  });

  it('resets open connections and refuses new ones until it is restored', async () => {
    const socket = await dial();
    socket.write('x');
    await receive(socket, 1);
    const seen = reset(socket);
    link.reset();
    expect(await seen).toBe('ECONNRESET');
    const refused = connect({ host: '127.0.0.1', port: link.port });
    sockets.push(refused);
    expect(await reset(refused)).toBe('ECONNRESET');
    link.restore();
    const next = await dial();
    next.write('again');
    expect(String(await receive(next, 5))).toBe('again');
  });

  it('resets a client when the server cannot be reached', async () => {
    echo.close();
    const socket = connect({ host: '127.0.0.1', port: link.port });
    sockets.push(socket);
    expect(await reset(socket)).toBe('ECONNRESET');
  });
});

describe('a cluster with links', () => {
  let cluster: TestCluster;
  let replica: TestNode;

  beforeAll(async () => {
    cluster = await startTestCluster({ replicas: 1, links: true });
    replica = cluster.replicas[0]!;
  });
  afterAll(() => cluster.stop());
  afterEach(() => replica.link.restore());

  it('has its connection strings go through them', async () => {
    expect(replica.port).toBe(replica.link.port);
    expect(await query(replica, 'select inet_server_port()')).not.toBe(replica.port);
  });

  it('replicates while a link is cut, and can still be controlled', async () => {
    replica.link.reset();
    await query(cluster.primary, 'create table t (a int)');
    await replica.waitForReplay();
    await replica.pauseReplay();
    await replica.resumeReplay();
    await expect(query(replica, 'select 1')).rejects.toMatchObject({ code: 'ECONNRESET' });
    replica.link.restore();
    expect(await query(replica, 'select count(*)::int from t')).toBe(0);
  });

  it('delays answers and lets queries hang', async () => {
    const client = await open(replica);
    replica.link.delay(150);
    const startedAt = performance.now();
    await client.query('select 1');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(149);
    replica.link.halfOpen();
    const answer = client.query('select 2 as two');
    expect(await isPendingAfter(200, answer)).toBe(true);
    replica.link.restore();
    expect((await answer).rows).toEqual([{ two: 2 }]);
    await client.end();
  });

  it('ends connections when the server behind it is killed', async () => {
    const client = await open(replica);
    const answer = expect(client.query('select pg_sleep(10)')).rejects.toThrow();
    await replica.kill();
    await answer;
    await replica.restart();
    expect(await query(replica, 'select 1')).toBe(1);
  });
});
