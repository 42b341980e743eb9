/** The TypeScript of the pages compiles, and what is marked with `<!-- run -->` runs on a real cluster. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { compile, givenTo } from './compile.js';
import { type Block, blocksOf, docsPages, linesOf, root } from './pages.js';

const RUN_LIMIT_MILLIS = 45_000;
const LANGUAGES = ['ts', 'typescript', 'tsx'];

const pages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', ...docsPages];
const blocks = pages.flatMap((page) => blocksOf(page)).filter(({ language }) => LANGUAGES.includes(language));
const compiled = blocks.filter(({ marks }) => marks.noCompile === undefined);
const runnable = blocks.filter(({ marks }) => marks.run);

describe('the TypeScript of the pages', () => {
  let complaints: ReturnType<typeof compile>;
  beforeAll(() => {
    complaints = compile(compiled);
  }, 240_000);

  it.each(pages.filter((page) => compiled.some(({ file }) => file === page)))('compiles: %s', (page) => {
    const found = [...complaints].filter(([{ file }]) => file === page).flatMap(([, told]) => told);
    expect(found).toEqual([]);
  });

  it('is left uncompiled only with a reason', () => {
    const without = blocks.filter(({ marks }) => marks.noCompile === '').map(({ file, line }) => `${file}:${line}`);
    expect(without).toEqual([]);
  });

  it('is marked by comments that each stand above a block', () => {
    const marks = pages
      .flatMap((page) => linesOf(page))
      .filter(({ text }) => /^\s*<!-- ?(run|no-compile|file)\b/.test(text));
    const { length } = blocks.flatMap(({ marks }) => [
      ...(marks.run ? ['run'] : []),
      ...(marks.noCompile === undefined ? [] : ['no-compile']),
      ...(marks.isNamed ? ['file'] : []),
    ]);
    expect(length).toBe(marks.length);
  });

  it('would be told of a mistake, by its line on the page', () => {
    const code = "import { createCluster } from 'pg-ladder';\n\ncreateCluster({ replicas: 3 });";
    const [sample] = blocksOf('sample.md', `# Sample\n\n\`\`\`ts\n${code}\n\`\`\`\n`);
    expect(compile([sample!]).get(sample!)?.[0]).toMatch(/^sample\.md:6: TS\d+: /);
  }, 60_000);
});

describe.skipIf(runnable.length === 0)('the blocks that run', () => {
  let servers: TestCluster;
  let folder: string;

  beforeAll(async () => {
    await mkdir(join(root, 'docs/.blocks'), { recursive: true });
    folder = await mkdtemp(join(root, 'docs/.blocks/run-'));
    for (const block of blocks) if (block.marks.savedAs !== undefined) await save(block);
    servers = await startTestCluster();
    await asOwner(async (client) => {
      await client.query('create database docs');
    });
    const client = new pg.Client({ connectionString: inDatabase(servers.primary.connectionString, 'docs') });
    await client.connect();
    await client.query("create table users (id int primary key, name text); insert into users values (42, 'Grace')");
    await client.end();
  });
  afterAll(async () => {
    await servers?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** A folder for each page: what it says to save stands there under its name. */
  async function save(block: Block): Promise<string> {
    const own = join(folder, block.file.replace(/\W+/g, '-'));
    await mkdir(own, { recursive: true });
    const name =
      block.marks.savedAs === undefined ? `${block.line}.mts` : basename(block.marks.savedAs).replace(/\.ts$/, '.mts');
    await writeFile(join(own, name), moduleOf(block));
    return join(own, name);
  }

  async function asOwner(fn: (client: pg.Client) => Promise<void>): Promise<void> {
    const client = new pg.Client({ connectionString: servers.primary.connectionString });
    await client.connect();
    try {
      await fn(client);
    } finally {
      await client.end();
    }
  }

  /** Each block has a database of its own, so that none meets what another has left. */
  async function databaseOf(index: number): Promise<string> {
    const name = `block_${index}`;
    await asOwner(async (client) => {
      await client.query(`create database ${name} template docs`);
    });
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    return name;
  }

  it.each(runnable.map((block, index) => ({ where: `${block.file}:${block.line}`, block, index })))(
    '$where',
    async ({ block, index }) => {
      const file = await save(block);
      const database = await databaseOf(index);
      const url = (node: { connectionString: string }): string => inDatabase(node.connectionString, database);
      const [first, second] = servers.replicas;
      const { code, output } = await run(file, {
        PRIMARY_URL: url(servers.primary),
        REPLICA_1_URL: url(first!),
        REPLICA_2_URL: url(second!),
        DATABASE_URL: url(servers.primary),
        BLOCK_FOLDER: dirname(file),
        BLOCK_STAGE: join(root, 'test/docs/stage.ts'),
      });
      expect(code, output).toBe(0);
    },
    RUN_LIMIT_MILLIS + 10_000,
  );
});

function inDatabase(connectionString: string, database: string): string {
  const url = new URL(connectionString);
  url.pathname = `/${database}`;
  return url.href;
}

function moduleOf({ code }: Block): string {
  const given = givenTo(code).filter((name) => name === 'cluster' || name === 'pool');
  return `${code}\n${given.length > 0 ? `import { ${given.join(', ')} } from './stage.js';` : ''}\nexport {};\n`;
}

function run(file: string, env: NodeJS.ProcessEnv): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'test/docs/run-block.ts', file], {
    cwd: root,
    env: { ...process.env, ...env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const timer = setTimeout(() => {
    output += `\nit did not end within ${RUN_LIMIT_MILLIS} ms`;
    child.kill('SIGKILL');
  }, RUN_LIMIT_MILLIS);
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
}
