/**
 * A store of texts for the strategy that keeps rows by hand: a Redis of its own where this machine
 * has one, else a Map in this process. It knows three commands, and nothing of what is kept.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What an application has of its cache. */
export interface Store {
  /** `Redis`, or `Map`. */
  readonly name: string;
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string, seconds: number): Promise<void>;
  delete(key: string): Promise<void>;
  close(): Promise<void>;
}

const START_MILLIS = 3_000;
const POLL_MILLIS = 20;

/** Never rejects: without a Redis that starts, there is the Map. */
export async function openStore(): Promise<Store> {
  return (await openRedis().catch(() => undefined)) ?? openMap();
}

function openMap(): Store {
  const kept = new Map<string, { readonly value: string; readonly endsAt: number }>();
  return {
    name: 'Map',
    async get(key) {
      const found = kept.get(key);
      return found !== undefined && found.endsAt > performance.now() ? found.value : undefined;
    },
    async set(key, value, seconds) {
      kept.set(key, { value, endsAt: performance.now() + seconds * 1_000 });
    },
    async delete(key) {
      kept.delete(key);
    },
    close: async () => kept.clear(),
  };
}

/** On a socket in a folder that only this user can enter: no port, no password, nothing on disk. */
async function openRedis(): Promise<Store | undefined> {
  if (process.platform === 'win32') return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'pg-ladder-redis-'));
  const path = join(folder, 'socket');
  const args = ['--port', '0', '--unixsocket', path, '--dir', folder, '--save', '', '--appendonly', 'no'];
  // In a group of its own: who interrupts the demo at a terminal ends it by way of the demo.
  const server = spawn('redis-server', args, { stdio: 'ignore', detached: true });
  const ended = new Promise<void>((resolve) => {
    server.once('error', () => resolve());
    server.once('exit', () => resolve());
  });
  const kill = (): void => void server.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    server.kill('SIGKILL');
    await ended;
    process.off('exit', kill);
    await rm(folder, { recursive: true, force: true });
  };
  const hasEnded = ended.then(() => 'ended' as const);
  for (let waited = 0; waited < START_MILLIS; waited += POLL_MILLIS) {
    const connection = await Promise.race([connected(path), hasEnded]);
    if (connection === 'ended') break;
    if (connection !== undefined) return redisStore(new Commands(connection), stop);
    await sleep(POLL_MILLIS);
  }
  await stop();
  return undefined;
}

function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

function redisStore(commands: Commands, stop: () => Promise<void>): Store {
  return {
    name: 'Redis',
    get: (key) => commands.send('GET', key),
    set: async (key, value, seconds) => void (await commands.send('SET', key, value, 'EX', String(seconds))),
    delete: async (key) => void (await commands.send('DEL', key)),
    async close() {
      commands.end();
      await stop();
    },
  };
}

interface Waiting {
  readonly resolve: (reply: string | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** Redis' protocol, as far as these commands need it: the replies come in the order of the commands. */
class Commands {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  #read: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('Redis has closed the connection'));
    });
  }

  send(...words: string[]): Promise<string | undefined> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#socket.write(`*${words.length}\r\n${parts.join('')}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  end(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    this.#read = this.#read.length === 0 ? chunk : Buffer.concat([this.#read, chunk]);
    for (;;) {
      const headEnd = this.#read.indexOf('\r\n');
      if (headEnd === -1) return;
      const head = this.#read.toString('utf8', 1, headEnd);
      const isText = this.#read[0] === 0x24; // $
      const length = isText ? Number(head) : -1;
      const end = length >= 0 ? headEnd + 2 + length + 2 : headEnd + 2;
      if (this.#read.length < end) return;
      const text = length >= 0 ? this.#read.toString('utf8', headEnd + 2, end - 2) : undefined;
      const waiting = this.#waiting.shift();
      if (this.#read[0] === 0x2d)
        waiting?.reject(new Error(head)); // -
      else waiting?.resolve(text);
      this.#read = this.#read.subarray(end);
    }
  }
}
