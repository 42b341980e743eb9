/**
 * A profile app on Express: who saves a name sees it on the next page, whichever server answers, and nobody else waits for that. The session travels in a
 * cookie: `npx tsx examples/express.ts`
 */
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createCluster } from 'pg-ladder';
import { sessionMiddleware } from 'pg-ladder/express';
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

const app = express();
// First, so that whatever reads or writes runs within it. Whom a token is for is asked when that is needed, after authentication.
app.use(
  sessionMiddleware<express.Request>(cluster, {
    subject: (request) => request.res?.locals['user'] as string | undefined,
  }),
);
// Then authentication, as simple as can be.
app.use((request, response, next) => {
  response.locals['user'] = request.get('x-user');
  next();
});
app.use(express.urlencoded());
app.get('/users/:id', async (request, response) => {
  const { rows } = await cluster.read<{ name: string }>('select name from users where id = $1', [request.params.id]);
  response.send(rows[0]?.name);
});
app.post('/users/:id', async (request, response) => {
  const { name } = request.body as { name: string };
  await cluster.write('update users set name = $1 where id = $2', [name, request.params.id]);
  response.redirect(303, request.path);
});
const server = app.listen(0);
const page = await new Promise<string>((resolve) => {
  server.once('listening', () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}/users/42`));
});

// From here on: two browsers, and what they see.
cluster.events.on('route', ({ node, reason }) => console.log(`  → ${node} (${reason})`));
const browser = (user: string) => {
  const cookies = new Map<string, string>();
  return async (saved?: { name: string }) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(page, {
      headers: { cookie, 'x-user': user },
      ...(saved === undefined ? {} : { method: 'POST', body: new URLSearchParams(saved), redirect: 'manual' }),
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

console.log(`Ada opens the page: ${await ada()}`);
await r1?.pauseReplay();
await r2?.pauseReplay();
await ada({ name: 'Ada' });
console.log(`Ada has saved, and reloads while no replica has it: ${await ada()}`);
console.log(`a stranger sees, from a replica: ${await stranger()}`);
await r2?.resumeReplay();
await r2?.waitForReplay();
console.log(`Ada reloads when r2 has it: ${await ada()}`);

server.close();
server.closeAllConnections();
await cluster.close();
await servers.stop();
