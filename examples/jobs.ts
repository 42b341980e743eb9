/**
 * A job that is queued in a request and worked on elsewhere sees what the request wrote, also when it fails and is queued again: `npx tsx examples/jobs.ts`
 */
import { createCluster } from 'pg-ladder';
import { startTestCluster } from 'pg-ladder/testing';

const servers = await startTestCluster({ replicas: 2 });
const nodes = {
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
  secrets: [process.env['SESSION_SECRET'] ?? 'for this example alone'],
};

/** A queue as small as can be: what fails is queued again as it is. */
class Queue<Job> {
  readonly #jobs: Job[] = [];

  add(job: Job): void {
    // As all queues do, it keeps what JSON keeps.
    this.#jobs.push(JSON.parse(JSON.stringify(job)) as Job);
  }

  async work(handle: (job: Job) => Promise<void>): Promise<void> {
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
      await handle(job).catch((error: Error) => {
        console.log(`  failed: ${error.message}`);
        this.add(job);
      });
    }
  }
}

const queue = new Queue<{ userId: number; token: string }>();

const web = createCluster(nodes);
await web.write('create table users (id int primary key, name text not null)');
await web.write("insert into users values (42, 'nobody')");
for (const replica of servers.replicas) await replica.waitForReplay();

// The worker: another process, usually. This one has written nothing, and knows what it is told.
const worker = createCluster(nodes);
await worker.ready();
worker.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));

const nameOf = async (userId: number) => {
  const { rows } = await worker.read<{ name: string }>('select name from users where id = $1', [userId]);
  return rows[0]?.name;
};

for (const replica of servers.replicas) await replica.pauseReplay();

// The request; pg-ladder/express or pg-ladder/fastify open its session.
await web.session(async (session) => {
  await web.write('update users set name = $1 where id = $2', ['Ada', 42]);
  // After the writes that the job must see. With BullMQ: `await queue.add('greet', { userId: 42, token: await session.token() });`
  // with pg-boss: `await boss.send('greet', { userId: 42, token: await session.token() });`
  queue.add({ userId: 42, token: await session.token() });
});

console.log(`without the token: ${await worker.session(() => nameOf(42), { inherit: 'none' })}`);

let attempts = 0;
// With BullMQ: `new Worker('greet', ({ data: { userId, token } }) => worker.session(…, { token, inherit: 'none' }), { connection });`
// with pg-boss: `await boss.work('greet', async ([job]) => worker.session(…, { token: job.data.token, inherit: 'none' }));`
await queue.work(({ userId, token }) =>
  worker.session(
    async () => {
      const name = await nameOf(userId);
      if (++attempts === 1) {
        for (const replica of servers.replicas) await replica.resumeReplay();
        for (const replica of servers.replicas) await replica.waitForReplay();
        throw new Error(`no mail server to greet ${name}`);
      }
      console.log(`greeted ${name}`);
    },
    { token, inherit: 'none' },
  ),
);

await Promise.all([web.close(), worker.close()]);
await servers.stop();
