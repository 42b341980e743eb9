/**
 * A primary with a replica, and on them pairs of databases: one for each world, with those who act
 * behind the worlds' backs.
 */
import pg from 'pg';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { until } from '../behaviour/fixture.js';
import { CONTENT, EMPTY, RESET } from './schema.js';

const ROLE = 'app';

export class Servers implements AsyncDisposable {
  readonly #cluster: TestCluster;
  readonly #admin: pg.Client;
  readonly #pairs: Pair[] = [];

  private constructor(cluster: TestCluster, admin: pg.Client) {
    this.#cluster = cluster;
    this.#admin = admin;
  }

  static async start(): Promise<Servers> {
    // Commits wait for nobody, but for those of whoever asks for it.
    const cluster = await startTestCluster({
      replicas: 1,
      synchronousReplicas: 1,
      settings: { synchronous_commit: 'local', lock_timeout: '500ms', max_connections: 300 },
    });
    const admin = new pg.Client(cluster.primary.connectionString);
    await admin.connect();
    await admin.query(`create role ${ROLE} login password '${cluster.primary.password}'`);
    return new Servers(cluster, admin);
  }

  async pair(): Promise<Pair> {
    const number = this.#pairs.length;
    const databases = { bare: `bare_${number}`, ladder: `ladder_${number}` };
    for (const database of Object.values(databases)) {
      await this.#admin.query(`create database ${database} owner ${ROLE}`);
      await this.#admin.query(`alter database ${database} set synchronous_commit = 'local'`);
    }
    const { primary, replicas } = this.#cluster;
    const replica = replicas[0] as TestNode;
    await replica.waitForReplay();
    const [bare, ladder] = await Promise.all(
      Object.values(databases).map(async (database) => await Backstage.open(primary, replica, database)),
    );
    const pair = { bare: bare as Backstage, ladder: ladder as Backstage };
    this.#pairs.push(pair);
    return pair;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { bare, ladder } of this.#pairs) await Promise.all([bare.close(), ladder.close()]);
    await this.#admin.end();
    await this.#cluster.stop();
  }
}

export interface Pair {
  readonly bare: Backstage;
  readonly ladder: Backstage;
}

/** One world's database, by those who know nothing of the world. */
export class Backstage {
  /** For the world's own connections. */
  readonly primary: string;
  readonly replica: string;
  readonly #database: string;
  /** Somebody of the same role, whose commits are on the replica when they return. */
  readonly #other: pg.Client;
  readonly #superuser: pg.Client;
  readonly #onReplica: pg.Client;

  private constructor(primary: TestNode, replica: TestNode, database: string) {
    const url = ({ host, port, password }: TestNode, user: string) =>
      `postgres://${user}:${password}@${host}:${port}/${database}`;
    this.primary = url(primary, ROLE);
    this.replica = url(replica, ROLE);
    this.#database = database;
    this.#other = new pg.Client({ connectionString: this.primary, application_name: 'other' });
    this.#superuser = new pg.Client(url(primary, 'postgres'));
    this.#onReplica = new pg.Client(url(replica, 'postgres'));
  }

  static async open(primary: TestNode, replica: TestNode, database: string): Promise<Backstage> {
    const backstage = new Backstage(primary, replica, database);
    await Promise.all([backstage.#other, backstage.#superuser, backstage.#onReplica].map((client) => client.connect()));
    await backstage.#other.query('set synchronous_commit = remote_apply');
    return backstage;
  }

  async reset(isWhole: boolean): Promise<void> {
    await this.#other.query(isWhole ? RESET : EMPTY);
  }

  query(text: string): Promise<unknown> {
    return this.#other.query(text);
  }

  async content(): Promise<unknown[]> {
    return (await this.#superuser.query(CONTENT)).rows;
  }

  /** Connections of the world that are in a transaction and idle, on both servers. */
  async openTransactionCount(): Promise<number> {
    const text = `select count(*)::int as count from pg_stat_activity
      where datname = $1 and usename = '${ROLE}' and application_name <> 'other' and state like 'idle in transaction%'`;
    const counts = await Promise.all(
      [this.#superuser, this.#onReplica].map(async (client) => {
        const { rows } = await client.query<{ count: number }>(text, [this.#database]);
        return (rows[0] as { count: number }).count;
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Ends the world's idle connections, on both servers. */
  async killIdle(): Promise<void> {
    const text = `select pid from pg_stat_activity
      where datname = $1 and usename = '${ROLE}' and application_name <> 'other' and state = 'idle'`;
    await Promise.all(
      [this.#superuser, this.#onReplica].map(async (client) => {
        const { rows } = await client.query<{ pid: number }>(text, [this.#database]);
        await end(
          client,
          rows.map(({ pid }) => pid),
        );
      }),
    );
  }

  async kill(pid: number): Promise<void> {
    await end(this.#superuser, [pid]);
  }

  /** Ends what the world has left open, so that nothing of it is there when the next one begins. */
  async evict(): Promise<void> {
    const text = `select pid from pg_stat_activity
      where datname = $1 and usename = '${ROLE}' and application_name <> 'other'`;
    for (const client of [this.#superuser, this.#onReplica]) {
      const { rows } = await client.query<{ pid: number }>(text, [this.#database]);
      if (rows.length === 0) continue;
      await end(
        client,
        rows.map(({ pid }) => pid),
      );
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#other, this.#superuser, this.#onReplica].map((client) => client.end()));
  }
}

/** Resolves when these backends are gone. */
async function end(client: pg.Client, pids: readonly number[]): Promise<void> {
  await client.query('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [pids]);
  await until('they are gone', async () => {
    const { rowCount } = await client.query('select from pg_stat_activity where pid = any($1)', [pids]);
    return rowCount === 0;
  });
}
