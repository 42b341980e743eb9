// One statement on one connection, as an application would send it. Never retries, never hides an error.
import pg from 'pg';

interface Reachable {
  readonly connectionString: string;
}

export async function open(node: Reachable): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: node.connectionString, connectionTimeoutMillis: 30_000 });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The first column of the first row. */
export async function query(node: Reachable, sql: string, values?: unknown[]): Promise<unknown> {
  const client = await open(node);
  try {
    const { rows } = await client.query({ text: sql, values: values ?? [], rowMode: 'array' });
    return (rows as unknown[][])[0]?.[0];
  } finally {
    await client.end();
  }
}

/** Whether `promise` is still undecided after `millis`. */
export async function isPendingAfter(millis: number, promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  const late = new Promise((resolve) => setTimeout(resolve, millis, pending));
  return (await Promise.race([promise.catch(() => undefined), late])) === pending;
}
