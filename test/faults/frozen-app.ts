/** A process that is frozen by frozen.test.ts: it runs what it is told to on a cluster of its own, and tells what came of it. It ends when its parent is gone. */
import { createCluster } from '../../src/index.js';

export interface AppConfig {
  primary: string;
  replicas: { name: string; connectionString: string }[];
  monitor: 'timer' | 'onDemand';
  primaryWaitMillis?: number;
}

export interface Order {
  id: number;
  /** `ready`: whether it was heard. */
  run: 'read' | 'write' | 'pool' | 'transaction' | 'ready';
  text: string;
  /** By a timer: where the process is frozen meanwhile, it runs before anything else is heard. */
  afterMillis: number;
}

export interface Outcome {
  id: number;
  /** The one value of the one row, or the error's code. */
  value?: unknown;
  code?: string | undefined;
}

const cluster = createCluster(JSON.parse(process.argv[2] ?? '') as AppConfig);
const pool = cluster.pool();

async function run({ run: how, text }: Order): Promise<unknown> {
  if (how === 'ready') {
    await cluster.ready();
    // What is not known yet to leave nothing behind keeps its client's connection.
    await cluster.explain(text);
    return true;
  }
  const { rows } = await (how === 'pool'
    ? pool.query<Record<string, unknown>>(text)
    : how === 'transaction'
      ? cluster.transaction((client) => client.query<Record<string, unknown>>(text))
      : cluster[how]<Record<string, unknown>>(text));
  return Object.values(rows[0] ?? {})[0];
}

process.on('message', (order: Order) => {
  const { id, afterMillis } = order;
  const begun = afterMillis > 0 ? new Promise((resolve) => setTimeout(resolve, afterMillis)) : Promise.resolve();
  begun
    .then(() => run(order))
    .then(
      (value) => process.send?.({ id, value } satisfies Outcome),
      (error: { code?: string; message: string }) =>
        process.send?.({ id, code: error.code ?? error.message } satisfies Outcome),
    );
});
process.on('disconnect', () => process.exit(0));
process.send?.('up');
