import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type Footprint, remainsOf } from './leftovers.js';

const SCRIPT = fileURLToPath(new URL('run-cluster.ts', import.meta.url));

async function runCluster(
  ...args: string[]
): Promise<{ child: ChildProcess; remains: () => string[]; exited: Promise<unknown> }> {
  const child = spawn(process.execPath, ['--import', 'tsx', SCRIPT, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = (await Promise.race([
    once(createInterface(child.stdout!), 'line'),
    exited.then(([code]) => Promise.reject(new Error(`The child ended with ${code}.`))),
  ])) as [string];
  const footprints = JSON.parse(line) as Footprint[];
  return { child, exited, remains: () => remainsOf(footprints) };
}

describe('when the process that started a cluster', () => {
  it('is killed, nothing of the cluster is left', async () => {
    const { child, remains } = await runCluster('wait');
    expect(remains().length).toBeGreaterThan(5);
    child.kill('SIGKILL');
    await expect.poll(remains, { interval: 50 }).toEqual([]);
  });

  it('is killed, nothing is left even of frozen servers', async () => {
    const { child, remains } = await runCluster('freeze');
    child.kill('SIGKILL');
    await expect.poll(remains, { interval: 50 }).toEqual([]);
  });

  it('is interrupted, nothing is left', async () => {
    const { child, remains } = await runCluster('wait');
    child.kill('SIGINT');
    await expect.poll(remains, { interval: 50 }).toEqual([]);
  });

  it('comes to its end without stop(), it exits and nothing is left', async () => {
    const { exited, remains } = await runCluster('end');
    expect(await exited).toEqual([0, null]);
    await expect.poll(remains, { interval: 50 }).toEqual([]);
  });

  it('has stopped it, it exits by itself', async () => {
    const { exited, remains } = await runCluster('stop');
    expect(remains()).toEqual([]);
    expect(await exited).toEqual([0, null]);
  });

  it('is an ordinary user, the cluster runs as that user', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('this is one already: all other tests show it');
    const { child, remains } = await runCluster('wait', 'nobody');
    expect(remains().length).toBeGreaterThan(5);
    child.kill('SIGKILL');
    await expect.poll(remains, { interval: 50 }).toEqual([]);
    return undefined;
  });
});
