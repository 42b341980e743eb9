/**
 * A profile app on Fastify: who saves a name sees it on the next page, whichever server answers, and nobody else waits for that. The session travels in a
 * cookie, and one route asks for more than the others: `npx tsx examples/fastify.ts`
 */
import fastify, { type FastifyRequest } from 'fastify';
import { createCluster } from 'pg-ladder';
import { sessionPlugin } from 'pg-ladder/fastify';
import { startTestCluster } from 'pg-ladder/testing';

const servers = await startTestCluster({ replicas: 2 });
const [r1, r2] = servers.replicas;

const cluster = createCluster({
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
  // The same in all processes; the first one signs, and all are accepted.
  secrets: [process.env['SESSION_SECRET'] ?? 'for this example alone'],
});
await cluster.write('create table users (id int primary key, name text not null)');
await cluster.write("insert into users values (42, 'nobody')");
for (const replica of servers.replicas) await replica.waitForReplay();
await cluster.ready();

const nameOf = async (id: string) => {
  const { rows } = await cluster.read<{ name: string }>('select name from users where id = $1', [id]);
  return rows[0]?.name;
};

type Known = FastifyRequest & { user?: string };
type ById = { Params: { id: string } };
const app = fastify();
app.decorateRequest('user', '');
// Whom a token is for is asked when that is needed, after authentication.
await app.register(sessionPlugin, { cluster, subject: (request) => (request as Known).user });
// Authentication, as simple as can be.
app.addHook('onRequest', async (request) => {
  (request as Known).user = String(request.headers['x-user'] ?? '');
});
app.get<ById>('/users/:id', (request) => nameOf(request.params.id));
// What anybody has written, and not only who asks.
app.get<ById>('/users/:id/now', { config: { ladder: { consistency: 'strong' } } }, (request) =>
  nameOf(request.params.id),
);
app.post<ById & { Body: { name: string } }>('/users/:id', async (request, reply) => {
  // The same as cluster.write, for code that has lost its async context.
  await request.ladder.write('update users set name = $1 where id = $2', [request.body.name, request.params.id]);
  return reply.redirect(request.url, 303);
});
const origin = await app.listen({ port: 0, host: '127.0.0.1' });

// From here on: two browsers, and what they see.
cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));
const browser = (user: string) => {
  const cookies = new Map<string, string>();
  return async (path: string, saved?: { name: string }) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(`${origin}${path}`, {
      headers: { cookie, 'x-user': user, ...(saved === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(saved === undefined ? {} : { method: 'POST', body: JSON.stringify(saved), redirect: 'manual' }),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    return answer.text();
  };
};
const ada = browser('ada');
const stranger = browser('eve');

console.log(`Ada opens the page: ${await ada('/users/42')}`);
await r1?.pauseReplay();
await r2?.pauseReplay();
await ada('/users/42', { name: 'Ada' });
console.log(`Ada has saved, and reloads while no replica has it: ${await ada('/users/42')}`);
console.log(`a stranger sees, from a replica: ${await stranger('/users/42')}`);
console.log(`a stranger who insists: ${await stranger('/users/42/now')}`);
await r2?.resumeReplay();
await r2?.waitForReplay();
console.log(`Ada reloads when r2 has it: ${await ada('/users/42')}`);

await app.close();
await cluster.close();
await servers.stop();
