/** A played Patroni, asked anew in each test. */
import { afterEach, beforeEach } from 'vitest';
import { type PatroniDiscoveryOptions, patroniDiscovery } from '../../../src/discovery/index.js';
import { member, type PatroniServer, startPatroniServer } from '../../behaviour/discovery-servers.js';

export let patroni: PatroniServer;

export const open = (options: Partial<PatroniDiscoveryOptions> = {}) => {
  const discovery = patroniDiscovery({ urls: [patroni.url], ...options });
  return async (signal = new AbortController().signal) =>
    discovery({ signal, ask: () => Promise.reject(new Error('asks no server')) });
};

export const names = async (find = open()) => (await find()).map((server) => Object(server).name as string);

export const at = (path: string) => patroni.url.replace('http://', 'http://ada:s%3Acret@') + path;

/** Starts it before each test. */
export function asksPatroni(): void {
  beforeEach(async () => {
    patroni = await startPatroniServer(
      member('patroni1', '10.0.0.4', { role: 'leader', state: 'running' }),
      member('patroni2', '10.0.0.6', { port: 5433 }),
    );
  });
  afterEach(() => patroni[Symbol.asyncDispose]());
}
