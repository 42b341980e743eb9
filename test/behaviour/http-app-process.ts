/** A process of its own that runs `http-app.ts`. */
import { request } from 'undici';
import { startApp } from './app-process.js';
import type { AppConfig, ReadCounts } from './http-app.js';

export interface App {
  readonly origin: string;
  reads(): Promise<ReadCounts>;
  stop(): Promise<void>;
}

/** Resolves when the process listens, with its cluster ready. */
export async function start(config: AppConfig): Promise<App> {
  const { said, stop } = await startApp<{ origin: string }>(new URL('http-app.ts', import.meta.url), config);
  const { origin } = said;
  return {
    origin,
    reads: async () => (await request(`${origin}/stats`)).body.json() as Promise<ReadCounts>,
    stop,
  };
}
