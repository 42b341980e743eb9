/** The servers, with the table on them, and the contenders around: started for one count of replicas, and all gone at its end. */
import pg from 'pg';
import { startTestCluster, type TestCluster } from '../src/testing/index.js';
import type { Servers, Spec } from './contenders/access.js';
import { Child } from './contenders/child.js';
import type { Contender } from './contenders/contender.js';
import { Pgbench } from './contenders/pgbench.js';
import { SCHEMA, TIDY } from './statements.js';

/** Settings of the servers. */
type Settings = Readonly<Record<string, string | number>>;

/** Everybody stays connected through all rounds of a comparison, pgbench and its 256 clients beside them. */
const MAX_CONNECTIONS = 600;

export class Stage implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly servers: Servers;
  readonly #pgbench: string | undefined;
  readonly #node: string | undefined;
  readonly #contenders = new Map<string, Contender>();

  private constructor(cluster: TestCluster, pgbench: string | undefined, node: string | undefined) {
    this.#node = node;
    this.cluster = cluster;
    this.servers = {
      primary: cluster.primary.connectionString,
      replicas: cluster.replicas.map((replica) => replica.connectionString),
    };
    this.#pgbench = pgbench;
  }

  /**
   * @param pgbench its binary, if there is one
   * @param node the binary that contenders run on; `undefined` for that of this process
   */
  static async start(
    replicas: number,
    pgbench?: string,
    node?: string,
    settings: Settings = {},
    schema = SCHEMA,
  ): Promise<Stage> {
    const cluster = await startTestCluster({ replicas, settings: { max_connections: MAX_CONNECTIONS, ...settings } });
    const stage = new Stage(cluster, pgbench, node);
    try {
      await stage.#say(schema.split(';'));
      return stage;
    } catch (error) {
      await stage.stop();
      throw error;
    }
  }

  /** The same contender for the same name: a process is started once, and stays warm. */
  contender(spec: Spec, servers: Servers = this.servers): Contender {
    const found = this.#contenders.get(spec.name);
    if (found !== undefined) return found;
    const made =
      spec.driver === 'pgbench'
        ? new Pgbench(this.#pgbench ?? 'pgbench', spec, servers)
        : new Child(spec, servers, this.#node);
    this.#contenders.set(spec.name, made);
    return made;
  }

  /** Nobody starts with what the one before left behind. */
  async tidy(): Promise<void> {
    await this.#say([TIDY]);
  }

  async stop(): Promise<void> {
    for (const contender of this.#contenders.values()) contender.stop();
    await this.cluster.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #say(statements: readonly string[]): Promise<void> {
    const client = new pg.Client({ connectionString: this.servers.primary });
    await client.connect();
    try {
      for (const statement of statements) await client.query(statement);
    } finally {
      await client.end();
    }
    await Promise.all(this.cluster.replicas.map((replica) => replica.waitForReplay()));
  }
}
