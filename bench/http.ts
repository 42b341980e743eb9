/**
 * `npm run bench:http`: what sessions cost a web server: requests per second of a Fastify route that reads once, with the plugin and a client that brings its cookie,
 * next to the same route without, each in a process of its own. Exits 1 when the bound is missed with its whole interval.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { Pool } from 'undici';
import { interruptible } from './interruption.js';
import { intervalOfMedian, median } from './rounds.js';
import { Stage } from './stage.js';
import { ROWS } from './statements.js';

const ROUNDS = 15;
const ROUND_MILLIS = 500;
const WARM_UP_MILLIS = 2_000;
const CALLERS = 16;
const LEAST = 0.92;

interface Greeting {
  readonly address: string;
  readonly token: string;
}

interface Server {
  readonly process: ChildProcess;
  readonly client: Pool;
  readonly cookie: string;
}

async function open(stage: Stage, isPlugged: boolean): Promise<Server> {
  const { primary, replicas } = stage.servers;
  const args = [String(isPlugged), primary, ...replicas];
  const child = fork(new URL('./http-server.ts', import.meta.url), args, { stdio: ['ignore', 2, 2, 'ipc'] });
  const { address, token } = await new Promise<Greeting>((resolve, reject) => {
    child.once('message', (greeting) => resolve(greeting as Greeting));
    child.once('exit', (code) => reject(new Error(`the server ended with ${code} before it listened`)));
  });
  return { process: child, client: new Pool(address, { connections: CALLERS }), cookie: `pg-ladder=${token}` };
}

/** Requests per second. */
async function load({ client, cookie }: Server, millis: number): Promise<number> {
  const startedAt = performance.now();
  let count = 0;
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (performance.now() - startedAt < millis) {
        const path = `/${Math.floor(Math.random() * ROWS)}`;
        const { statusCode, body } = await client.request({ path, method: 'GET', headers: { cookie } });
        await body.dump();
        if (statusCode !== 200) throw new Error(`${path} was answered with ${statusCode}`);
        count++;
      }
    }),
  );
  return (count * 1_000) / (performance.now() - startedAt);
}

process.exitCode = await interruptible(async (signal) => {
  await using stage = await Stage.start(2);
  const servers: Server[] = [];
  try {
    for (const isPlugged of [true, false]) servers.push(await open(stage, isPlugged));
    const [plugged, plain] = servers as [Server, Server];
    for (const server of servers) await load(server, WARM_UP_MILLIS);
    const ratios: number[] = [];
    const speeds: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      signal.throwIfAborted();
      const pair = round % 2 === 0 ? [plugged, plain] : [plain, plugged];
      const measured = new Map<Server, number>();
      for (const server of pair) measured.set(server, await load(server, ROUND_MILLIS));
      const without = measured.get(plain) as number;
      speeds.push(without);
      ratios.push((measured.get(plugged) as number) / without);
    }
    const interval = intervalOfMedian(ratios);
    const figures = `${median(ratios).toFixed(2)} [${interval.map((bound) => bound.toFixed(2)).join(', ')}]`;
    console.log(
      `a Fastify route that reads once, ${CALLERS} callers, ${Math.round(median(speeds))} requests a second without the plugin`,
    );
    console.log(`with the plugin: ${figures} of that; at least ${LEAST}: ${interval[1] >= LEAST ? 'met' : 'MISSED'}`);
    return interval[1] >= LEAST ? 0 : 1;
  } finally {
    for (const { process: child, client } of servers) {
      await client.close();
      child.disconnect();
    }
  }
});
