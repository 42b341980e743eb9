/** Prisma is handed the pool through its adapter for pg: it queries the pool itself, and reserves a connection for a transaction only. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PrismaPg } from '@prisma/adapter-pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';
import type { PrismaClient } from './dist/client.js';
import { generate } from './generate.js';
import { sessionsApart } from './sessions-apart.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

let Client: typeof PrismaClient;
beforeAll(async () => {
  Client = (await generate()).PrismaClient;
});

describe('Prisma through the pool', () => {
  let stage: Stage;
  let prisma: PrismaClient;

  beforeAll(async () => {
    stage = await openStage();
    prisma = new Client({ adapter: new PrismaPg(stage.pool) });
  });
  afterAll(async () => {
    await prisma.$disconnect();
    await stage[Symbol.asyncDispose]();
  });

  const nameOf = async (id: number, on: Pick<PrismaClient, 'person'> = prisma): Promise<string | undefined> =>
    (await on.person.findUnique({ where: { id } }))?.name;

  it('creates a row and reads it back at once', async () => {
    const created = await prisma.person.create({ data: { id: 100, name: 'Ada', age: 36 } });
    expect(created).toEqual({ id: 100, name: 'Ada', age: 36 });
    expect(await prisma.person.findUnique({ where: { id: 100 } })).toEqual(created);
    expect(await prisma.person.findFirst({ where: { name: 'Ada' } })).toEqual(created);
  });

  it('updates, upserts and deletes, and reads the outcome at once', async () => {
    await prisma.person.create({ data: { id: 101, name: 'Alan', age: 41 } });
    await prisma.person.update({ where: { id: 101 }, data: { name: 'Turing' } });
    expect(await nameOf(101)).toBe('Turing');
    const born = { id: 102, name: 'new', age: 0 };
    for (const name of ['new', 'known']) {
      await prisma.person.upsert({ where: { id: 102 }, create: born, update: { name: 'known' } });
      expect(await nameOf(102)).toBe(name);
    }
    const changed = await prisma.person.updateMany({ where: { id: { gt: 100 } }, data: { age: { increment: 1 } } });
    expect(changed).toEqual({ count: 2 });
    expect((await prisma.person.aggregate({ where: { id: { gt: 100 } }, _sum: { age: true } }))._sum.age).toBe(43);
    await prisma.person.delete({ where: { id: 101 } });
    expect(await nameOf(101)).toBeUndefined();
  });

  it('counts, groups and runs raw SQL, of which what writes is read back at once', async () => {
    expect(await prisma.person.count({ where: { id: { lt: 32 } } })).toBe(32);
    const groups = await prisma.person.groupBy({ by: ['age'], where: { id: { lt: 32 } }, _count: true });
    expect(groups).toEqual([{ age: 0, _count: 32 }]);
    expect(await prisma.$executeRaw`update people set name = ${'raw'} where id = ${30}`).toBe(1);
    expect(await prisma.$queryRaw`select name from people where id = ${30}`).toEqual([{ name: 'raw' }]);
  });

  it('answers many findUnique calls of one tick, each with its own row', async () => {
    const names = await Promise.all(Array.from({ length: 20 }, (_, id) => nameOf(id)));
    expect(names).toEqual(Array.from({ length: 20 }, (_, id) => `P${id}`));
  });

  it('commits a transaction given as a list', async () => {
    const [created, found] = await prisma.$transaction([
      prisma.person.create({ data: { id: 110, name: 'Grace', age: 85 } }),
      prisma.person.findUnique({ where: { id: 110 } }),
    ]);
    expect(found).toEqual(created);
    expect(await nameOf(110)).toBe('Grace');
  });

  it('rolls a transaction given as a list back when one of them fails', async () => {
    const failed = prisma.$transaction([
      prisma.person.create({ data: { id: 111, name: 'Nobody', age: 0 } }),
      prisma.person.create({ data: { id: 1, name: 'again', age: 0 } }),
    ]);
    await expect(failed).rejects.toMatchObject({ code: 'P2002' });
    expect(await nameOf(111)).toBeUndefined();
  });

  it('commits an interactive transaction, which sees its own writes', async () => {
    const within = await prisma.$transaction(
      async (tx) => {
        await tx.person.create({ data: { id: 112, name: 'Barbara', age: 28 } });
        return nameOf(112, tx);
      },
      { isolationLevel: 'Serializable' },
    );
    expect(within).toBe('Barbara');
    expect(await nameOf(112)).toBe('Barbara');
  });

  it('rolls an interactive transaction back when it throws', async () => {
    const failed = prisma.$transaction(async (tx) => {
      await tx.person.create({ data: { id: 113, name: 'Nobody', age: 0 } });
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(await nameOf(113)).toBeUndefined();
  });

  it('rolls an interactive transaction back that takes longer than it may', async () => {
    const slow = prisma.$transaction(
      async (tx) => {
        await tx.person.create({ data: { id: 114, name: 'Late', age: 0 } });
        await new Promise((resolve) => setTimeout(resolve, 400));
        await tx.person.update({ where: { id: 114 }, data: { age: 1 } });
      },
      { timeout: 200 },
    );
    await expect(slow).rejects.toMatchObject({ code: 'P2028' });
    expect(await nameOf(114)).toBeUndefined();
  });

  it('gives connections back, also after transactions that fail, more often than there are connections', async () => {
    const failures = await Promise.allSettled(
      Array.from({ length: 25 }, () => prisma.$transaction((tx) => tx.$queryRaw`select 1 / 0`, { maxWait: 10_000 })),
    );
    for (const failure of failures) {
      expect(failure).toMatchObject({ status: 'rejected', reason: { code: 'P2010' } });
    }
    expect(await prisma.$transaction((tx) => nameOf(1, tx))).toBe('P1');
  });

  it('reports its own errors: a key that exists already, a row that does not', async () => {
    await expect(prisma.person.create({ data: { id: 1, name: 'again', age: 0 } })).rejects.toMatchObject({
      name: 'PrismaClientKnownRequestError',
      code: 'P2002',
      meta: { modelName: 'Person' },
    });
    await expect(prisma.person.findUniqueOrThrow({ where: { id: 999 } })).rejects.toMatchObject({ code: 'P2025' });
    expect(await nameOf(1)).toBe('P1');
  });

  it('leaves the pool open when it disconnects, and connects again', async () => {
    await prisma.$disconnect();
    expect((await stage.pool.query('select name from people where id = 1')).rows).toEqual([{ name: 'P1' }]);
    expect(await nameOf(1)).toBe('P1');
  });

  it('reads its own writes from replicas whose replay is paused half of the time', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('prisma', stage.cluster, {
      save: (id, age) => prisma.person.update({ where: { id }, data: { age } }),
      age: async (id) => (await prisma.person.findFirst({ where: { id } }))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });

  it('does so with findUnique too, once sessions are kept apart', async () => {
    const apart = prisma.$extends(sessionsApart(stage.cluster));
    const { stale, share } = await readYourWrites('prisma, findUnique', stage.cluster, {
      save: (id, age) => apart.person.update({ where: { id }, data: { age } }),
      age: async (id) => (await apart.person.findUnique({ where: { id } }))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});

describe('what Prisma gathers of two sessions in one tick, while no replica has the write', () => {
  let stage: Stage;
  let prisma: PrismaClient;

  beforeAll(async () => {
    stage = await openStage();
    prisma = new Client({ adapter: new PrismaPg(stage.pool) });
    // From here on the catalogue is known, and with it what only reads.
    await stage.cluster.explain('select 1');
    for (const replica of stage.servers.replicas) await replica.pauseReplay();
  });
  afterAll(async () => {
    await prisma.$disconnect();
    await stage[Symbol.asyncDispose]();
  });

  type Asked = Pick<PrismaClient, 'person' | '$transaction'>;

  /** Both sessions know of their own writes only and go on in the same tick, the bystander first. @returns what the writer sees in the end */
  async function inOneTick(
    bystander: () => Promise<unknown>,
    before: () => Promise<unknown>,
    writer: () => Promise<number | undefined>,
  ): Promise<number | undefined> {
    let begin = (): void => {};
    const tick = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const alone = { inherit: 'none' } as const;
    const [, seen] = await Promise.all([
      stage.cluster.session(async () => {
        await tick;
        await bystander();
      }, alone),
      stage.cluster.session(async () => {
        await before();
        begin();
        await tick;
        return writer();
      }, alone),
    ]);
    return seen;
  }

  const readAfterWrite = (on: Asked, age: number): Promise<number | undefined> =>
    inOneTick(
      async () => {
        await on.person.findUnique({ where: { id: 2 } });
      },
      async () => on.person.update({ where: { id: 1 }, data: { age } }),
      async () => (await on.person.findUnique({ where: { id: 1 } }))?.age,
    );

  const readAfterList = (on: Asked, age: number): Promise<number | undefined> =>
    inOneTick(
      async () => on.$transaction([on.person.findFirst({ where: { id: 2 } })]),
      async () => undefined,
      async () => {
        await on.$transaction([on.person.update({ where: { id: 1 }, data: { age } })]);
        return (await on.person.findFirst({ where: { id: 1 } }))?.age;
      },
    );

  it('is asked and written in the first one’s session by Prisma alone', async () => {
    expect(await readAfterWrite(prisma, 1)).toBe(0);
    expect(await readAfterList(prisma, 2)).toBe(0);
  });

  it('is asked and written in the session of each with sessionsApart', async () => {
    const apart = prisma.$extends(sessionsApart(stage.cluster)) as unknown as Asked;
    expect(await readAfterWrite(apart, 3)).toBe(3);
    expect(await readAfterList(apart, 4)).toBe(4);
  });
});

describe('the example for Prisma', () => {
  it('saves a name and reads it back from a replica', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/prisma.ts'], {
      cwd: root,
      timeout: 25_000,
      env: { ...process.env, TSX_TSCONFIG_PATH: 'examples/tsconfig.json' },
    });
    expect(stdout).toMatch(/→ primary \(write\)\n[\s\S]*→ r1 [\s\S]*read back: Ada\n/);
  });
});
