// What `NODE_DEBUG=pg-ladder` prints, by a process of its own on real servers.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open } from './fixture.js';

const run = promisify(execFile);
const app = fileURLToPath(new URL('decision-log-app.ts', import.meta.url));

describe('the log of decisions', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    const cluster = await open(servers);
    await cluster.write('create table notes (text text)');
    await cluster.close();
  });

  afterAll(() => servers?.stop());

  /** What a process writes on stderr. */
  async function printed(debug: string | undefined): Promise<string> {
    const addresses = [servers.primary, ...servers.replicas].map(({ connectionString }) => connectionString);
    const { NODE_DEBUG: _, ...env } = process.env;
    const given = debug === undefined ? env : { ...env, NODE_DEBUG: debug };
    const { stderr } = await run(process.execPath, ['--import', 'tsx', app, ...addresses], { env: given });
    return stderr;
  }

  it('prints with NODE_DEBUG=pg-ladder where each statement goes and why, and what becomes of servers', async () => {
    const text = await printed('pg-ladder');
    expect(text).toMatch(
      /^PG-LADDER \d+: route id=\d+ rung=primary node=primary role=primary reason=write waitedMillis=[\d.]+ cluster=postgres$/m,
    );
    expect(
      text.match(
        /^PG-LADDER \d+: route id=\d+ rung=\w+ node=\w+ role=\w+ reason=[\w-]+ waitedMillis=[\d.]+ cluster=postgres$/gm,
      ),
    ).toHaveLength(3);
    expect(text).toMatch(/^PG-LADDER \d+: topology change=found primary=primary /m);
    expect(text).toMatch(/^PG-LADDER \d+: node node=r1 role=replica state=live previous=unknown cause=/m);
  });

  it('never prints statements, values or passwords', async () => {
    const text = await printed('pg-ladder');
    expect(text).not.toMatch(/select|insert|notes|no_such_column|value of the user|postgres:\/\//);
    expect(text).not.toContain(servers.primary.password);
  });

  it('prints nothing without it', async () => {
    expect(await printed(undefined)).not.toContain('PG-LADDER');
    expect(await printed('others')).not.toContain('PG-LADDER');
  });
});
