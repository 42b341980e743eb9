/**
 * A page whose table follows the writes of two processes. Starts real servers and two web processes for the purpose:
 * `npx tsx examples/live.ts` shows what a page would get; `npx tsx examples/live.ts --serve` serves it until Ctrl+C.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createFront, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createCluster } from 'pg-ladder';
import { serverSentEvents } from 'pg-ladder/http';
import { startTestCluster } from 'pg-ladder/testing';

const PRODUCTS = 'select id, name, stock, seller from products order by id';

const PAGE = `<!doctype html>
<meta charset="utf-8">
<title>Stock</title>
<table>
  <thead><tr><th>product<th>stock<th>sold last by<th></thead>
  <tbody></tbody>
</table>
<p id="state">connecting</p>
<script>
  const [body] = document.querySelectorAll('tbody');
  const state = document.querySelector('#state');
  const source = new EventSource('/events');
  source.onmessage = ({ data }) => {
    const { rows, missed } = JSON.parse(data);
    body.replaceChildren(...rows.map(({ id, name, stock, seller }) => {
      const row = document.createElement('tr');
      for (const text of [name, stock, seller]) row.insertCell().textContent = text;
      const sell = document.createElement('button');
      sell.textContent = 'sell';
      sell.onclick = () => fetch('/sell/' + id, { method: 'POST' });
      row.insertCell().append(sell);
      return row;
    }));
    // Only the first event after a break says it.
    if (missed !== undefined) state.textContent = missed ? 'back: some changes were missed' : 'back: nothing was missed';
    else if (state.textContent === 'connecting') state.textContent = 'live';
  };
  source.onerror = () => { state.textContent = 'connection lost'; };
</script>`;

if (process.send === undefined) await main();
else await serve(process.env['SELLER'] ?? '');

/** One of the web processes. */
async function serve(seller: string): Promise<void> {
  const cluster = createCluster({
    primary: process.env['PRIMARY_URL'] ?? '',
    replicas: [{ name: 'r1', connectionString: process.env['REPLICA_URL'] }],
    waitMillis: 2_000, // so that a slow machine shows the same
    changes: { tables: ['products'] },
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<unknown> => {
    if (request.url === '/events')
      return serverSentEvents(request, response, (start) => cluster.watch(PRODUCTS, [], start), { retryMillis: 200 });
    const id = request.method === 'POST' ? /^\/sell\/(\d{1,9})$/.exec(request.url ?? '')?.[1] : undefined;
    if (id === undefined) return response.setHeader('Content-Type', 'text/html; charset=utf-8').end(PAGE);
    await cluster.write('update products set stock = stock - 1, seller = $2 where id = $1', [id, seller]);
    return response.writeHead(204).end();
  };
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(error);
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  await cluster.ready();
  process.send?.((server.address() as AddressInfo).port);
  await once(process, 'disconnect');
  server.closeAllConnections();
  server.close();
  await cluster.close();
}

async function main(): Promise<void> {
  await using servers = await startTestCluster({ replicas: 1, settings: { wal_level: 'logical' } });
  const env = {
    ...process.env,
    PRIMARY_URL: servers.primary.connectionString,
    REPLICA_URL: servers.replicas[0]?.connectionString,
  };
  await using setUp = createCluster(env.PRIMARY_URL);
  await setUp.write('create table products (id int primary key, name text, stock int, seller text)');
  await setUp.write("insert into products values (1, 'lamp', 40, 'nobody'), (2, 'chair', 40, 'nobody')");
  await setUp.write('create publication pg_ladder for table products'); // `pg-ladder changes install` does it, and more

  const children = ['process 1', 'process 2'].map((seller) =>
    fork(fileURLToPath(import.meta.url), { env: { ...env, SELLER: seller } }),
  );
  const ports = await Promise.all(children.map(async (child) => (await once(child, 'message'))[0] as number));

  // What a load balancer does: each connection goes to the next process.
  let turn = 0;
  const front = createFront((client) => {
    const port = ports[turn++ % ports.length] as number;
    join(client, connect({ port, host: '127.0.0.1' }));
  });
  await once(front.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(front.address() as AddressInfo).port}`;
  try {
    if (process.argv.includes('--serve')) {
      console.log(`open ${url}`);
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    } else await show(url);
  } finally {
    front.close();
    for (const child of children) child.disconnect();
    await Promise.all(children.map((child) => once(child, 'exit')));
  }
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const)
    from
      .on('error', () => to.destroy())
      .on('close', () => to.destroy())
      .pipe(to);
}

interface State {
  readonly id: string;
  readonly rows: readonly { readonly name: string; readonly stock: number }[];
  readonly missed?: boolean;
}

/** What a page does: it keeps the id of the last event, and comes back with it. */
async function show(url: string): Promise<void> {
  const sell = (): Promise<Response> => fetch(`${url}/sell/1`, { method: 'POST', headers: { connection: 'close' } });
  const text = ({ rows }: State): string => rows.map(({ name, stock }) => `${name} ${stock}`).join(', ');

  let last = await follow(url, undefined, async (state, count) => {
    if (count === 1) console.log(`the page shows ${text(state)}`);
    if (count === 1) for (let i = 0; i < 2; i++) await sell(); // one by each process
    return state.rows[0]?.stock === 38;
  });
  console.log(`two were sold, and it shows ${text(last)}`);

  for (let i = 0; i < 10; i++) await sell();
  last = await follow(url, last.id, ({ rows }) => rows[0]?.stock === 28);
  console.log(`it was away for ten, and shows ${text(last)}; missed: ${last.missed}`);

  last = await follow(url, last.id, () => true);
  console.log(`it was away for none, and shows ${text(last)}; missed: ${last.missed}`);
}

/** Takes events until one is enough. @returns that one, with what the first one said was missed */
async function follow(
  url: string,
  id: string | undefined,
  isEnough: (state: State, count: number) => boolean | Promise<boolean>,
): Promise<State> {
  const leaving = new AbortController();
  const response = await fetch(`${url}/events`, {
    headers: id === undefined ? {} : { 'Last-Event-ID': id },
    signal: leaving.signal,
  });
  let rest = '';
  let count = 0;
  let missed: boolean | undefined;
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    rest += part;
    for (let end = rest.indexOf('\n\n'); end >= 0; end = rest.indexOf('\n\n')) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data === undefined) continue;
      const state = { ...(JSON.parse(data) as Omit<State, 'id'>), id: /^id: (.*)$/m.exec(event)?.[1] ?? '' };
      count++;
      if (count === 1) missed = state.missed;
      if (!(await isEnough(state, count))) continue;
      leaving.abort();
      return missed === undefined ? state : { ...state, missed };
    }
  }
  throw new Error('the events ended');
}
