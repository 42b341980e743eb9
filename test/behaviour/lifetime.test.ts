import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, report, size } from './fixture.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
/** A process that only pg's idle timeout ends, after 10 s, does not end by itself. It counts from when it has done its work. */
const ENDS_WITHIN_MILLIS = 9_000;
/** For a process to start and to do its work, however busy the machine is. */
const RUNS_WITHIN_MILLIS = 50_000;

describe('a process that uses the library', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t values (1, 0)');
  });
  afterAll(() => servers.stop());

  it('tells of no lost server while it closes, also with a question under way', async () => {
    const lost: string[] = [];
    for (let round = 0; round < 24; round++) {
      const cluster = await open(servers);
      cluster.events.on('topology', ({ change }) => change === 'vacant' && lost.push(change));
      cluster.events.on('node', ({ state, cause }) => state === 'unknown' && lost.push(cause));
      await cluster.write('update t set v = v + 1 where id = $1', [1]);
      // A strong read makes the primary be asked, and close() comes before the answer.
      const asking = cluster.read('select v from t', [], { consistency: 'strong' });
      await Promise.all([asking, cluster.close()]);
    }
    expect(lost).toEqual([]);
  });

  /** Runs `body` in a process of its own, with `cluster` opened; rejects when it does not end by itself in time. */
  async function inProcess(body: string): Promise<string> {
    const index = JSON.stringify(new URL('../../src/index.ts', import.meta.url).href);
    const script = `import { createCluster } from ${index};
      const [primary, replica] = process.argv.slice(1);
      const cluster = createCluster({
        primary: { connectionString: primary, allowExitOnIdle: true },
        replicas: [{ connectionString: replica, allowExitOnIdle: true }],
      });
      const live = async () => {
        while (cluster.stats().nodes.some((n) => n.state !== 'live')) await new Promise((r) => setTimeout(r, 5));
      };
      ${body}
      const doneAt = performance.now();
      process.on('exit', () => process.stderr.write('ended after ' + Math.round(performance.now() - doneAt) + ' ms'));`;
    const urls = [servers.primary.connectionString, servers.replicas[0]?.connectionString ?? ''];
    const args = ['--expose-gc', '--import', 'tsx', '--input-type=module', '-e', script, ...urls];
    const { stdout, stderr } = await run(process.execPath, args, { cwd: root, timeout: RUNS_WITHIN_MILLIS });
    const [, millis] = /ended after (\d+) ms$/.exec(stderr) ?? [];
    expect(Number(millis)).toBeLessThan(ENDS_WITHIN_MILLIS);
    return stdout;
  }

  it('ends by itself after close(), with nothing left open', async () => {
    const out = await inProcess(`
      await live();
      await cluster.session(async () => { await cluster.write('update t set v = v + 1'); await cluster.read('select v from t'); });
      await cluster.close();
      await new Promise((r) => setImmediate(() => setImmediate(r))); // a socket that was ended lets go of its handle a turn later
      process.stdout.write(process.getActiveResourcesInfo().filter((r) => r === 'TCPSocketWrap' || r === 'Timeout').join());`);
    expect(out).toBe('');
  });

  it('ends by itself when it never ran a statement and never closed', async () => {
    await inProcess('await live();');
  });

  it('ends by itself with shared connections open, and not before their answers have come', async () => {
    const out = await inProcess(`
      await live();
      const lane = () => cluster.stats().nodes.find(({ name }) => name === 'r1').lane.statementCount;
      while (lane() < 50) await cluster.read('select v from t');
      const answers = await Promise.all(Array.from({ length: 20 }, () => cluster.read('select v from t')));
      process.stdout.write(String(answers.length));`);
    expect(out).toBe('20');
  });

  it('stays alive for the answer that it awaits', async () => {
    const out = await inProcess(`
      await live();
      const token = await cluster.session(async (session) => {
        await session.write('update t set v = v + 1');
        return session.token();
      });
      process.stdout.write(String(token.length));`);
    expect(out).toBe('52');
  });

  it('hears of a connection that breaks as it ends: the error that nobody hears would end the process', async () => {
    const clients: pg.Client[] = [];
    class Seen extends pg.Client {
      constructor(config?: pg.ClientConfig) {
        super(config);
        clients.push(this);
      }
    }
    const cluster = await open(servers, {
      primary: { connectionString: servers.primary.connectionString, Client: Seen },
    });
    await Promise.all([1, 2, 3].map((n) => cluster.write('select $1::int, pg_sleep(0.01)', [n])));
    await cluster.close();
    expect(clients.length).toBeGreaterThan(2);
    for (const client of clients)
      client.emit('error', new Error('terminating connection due to administrator command'));
  });

  it('lets what is under way end before it closes, and refuses what comes later', async () => {
    const cluster = await open(servers);
    const slow = cluster.read<{ one: number }>('select 1 as one, pg_sleep(0.2)');
    const closing = cluster.close();
    await expect(cluster.read('select 1')).rejects.toMatchObject({ code: 'LADDER_CLOSED' });
    await expect(cluster.write('select 1')).rejects.toMatchObject({ code: 'LADDER_CLOSED' });
    expect((await slow).rows[0]?.one).toBe(1);
    await closing;
    await cluster.close();
  });

  it('keeps nothing of thousands of sessions that have ended', async () => {
    const MORE = size(3_000, 10_000);
    const out = await inProcess(
      `
      await live();
      const sessions = async (n) => {
        for (let i = 0; i < n; i += 50) {
          await Promise.all(Array.from({ length: 50 }, () => cluster.session(async () => {
            if (Math.random() < 0.2) await cluster.write('update t set v = v + 1');
            await cluster.read('select v from t');
          })));
        }
      };
      const heap = () => { gc(); gc(); return process.memoryUsage().heapUsed; };
      await sessions(${size(4_000, 12_000)});
      const before = heap();
      await sessions(${MORE});
      process.stdout.write(String(heap() - before));
      await cluster.close();`,
    );
    // What is compiled and cached on the way fills up early; what sessions keep goes on growing, by far more
    // than 200 bytes each.
    report(`heap over ${MORE} more sessions`, { 'grown by bytes': Number(out) });
    expect(Number(out)).toBeLessThan(600_000);
  }, 90_000);
});
