/** The processes of a rolling deploy: apps over two releases, and the load balancer before them. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { expect } from 'vitest';

/** What an app is told as its first argument, in JSON. */
export interface AppConfig {
  readonly name: string;
  /** The package that it imports: this version, or the one that was packed before. */
  readonly release: 'pg-ladder' | 'pg-ladder-0.1.0';
  readonly tokenVersion?: 2 | 3;
  readonly primary: string;
  readonly replicas: readonly { readonly name: string; readonly connectionString: string }[];
  readonly secrets: readonly string[];
  readonly tokenLifetimeMillis: number;
  /** Without it, there are no ways with a store. */
  readonly redisPort?: number;
}

/** What an app has counted since it started. */
export interface AppStats {
  readonly reads: Readonly<Record<'primary' | 'replica', number>>;
  readonly refused: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

interface Started {
  readonly child: ChildProcess;
  readonly origin: string;
  stop(): Promise<void>;
}

export interface App {
  readonly name: string;
  readonly origin: string;
  stats(): Promise<AppStats>;
  stop(): Promise<void>;
}

export interface LoadBalancer {
  readonly origin: string;
  /** From then on, each request goes to the next of these. */
  turnTo(apps: readonly App[]): Promise<void>;
  stop(): Promise<void>;
}

async function start(script: string, args: readonly string[]): Promise<Started> {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), args, { execArgv: [] });
  const ended = once(child, 'exit');
  const [said] = (await Promise.race([once(child, 'message'), ended])) as [{ origin: string } | number | null];
  if (said === null || typeof said === 'number') throw new Error(`${script} ended with ${said} before it listened`);
  return {
    child,
    origin: said.origin,
    stop: async () => {
      child.disconnect();
      // It ends by itself, or something holds it.
      const giveUp = setTimeout(() => child.kill('SIGKILL'), 10_000);
      const [code] = (await ended) as [number | null];
      clearTimeout(giveUp);
      expect(code).toBe(0);
    },
  };
}

/** Resolves when the process listens, with its cluster ready. */
export async function startApp(config: AppConfig): Promise<App> {
  const { origin, stop } = await start('app.mjs', [JSON.stringify(config)]);
  return {
    name: config.name,
    origin,
    stats: async () => (await request(`${origin}/stats`)).body.json() as Promise<AppStats>,
    stop,
  };
}

export async function startLoadBalancer(): Promise<LoadBalancer> {
  const { child, origin, stop } = await start('round-robin.mjs', []);
  return {
    origin,
    turnTo: async (apps) => {
      const told = once(child, 'message');
      child.send(apps.map((app) => app.origin));
      await told;
    },
    stop,
  };
}
