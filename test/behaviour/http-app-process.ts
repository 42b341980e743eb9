/** A process of its own that runs `http-app.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { expect } from 'vitest';
import type { AppConfig, ReadCounts } from './http-app.js';

export interface App {
  readonly origin: string;
  reads(): Promise<ReadCounts>;
  stop(): Promise<void>;
}

/** Resolves when the process listens, with its cluster ready. */
export async function start(config: AppConfig): Promise<App> {
  const path = fileURLToPath(new URL('http-app.ts', import.meta.url));
  const child: ChildProcess = fork(path, [JSON.stringify(config)], { execArgv: ['--import', 'tsx'] });
  const ended = once(child, 'exit');
  const [said] = (await Promise.race([once(child, 'message'), ended])) as [{ origin: string } | number | null];
  if (said === null || typeof said === 'number')
    throw new Error(`${config.name} ended with ${said} before it listened`);
  const { origin } = said;
  return {
    origin,
    reads: async () => (await request(`${origin}/stats`)).body.json() as Promise<ReadCounts>,
    stop: async () => {
      child.disconnect();
      // It ends by itself, or something holds it.
      const giveUp = setTimeout(() => child.kill('SIGKILL'), 5_000);
      const [code] = (await ended) as [number | null];
      clearTimeout(giveUp);
      expect(code).toBe(0);
    },
  };
}
