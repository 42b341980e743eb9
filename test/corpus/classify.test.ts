import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster, type Explanation } from '../../src/index.js';
import { startTestCluster } from '../../src/testing/index.js';
import { report } from '../behaviour/fixture.js';
import { schema } from './schema.js';
import { type Statement, statements } from './statements.js';

const text = ({ text: whole, why }: Statement) => `${why}: ${whole}`;

/** Planning runs functions that are declared IMMUTABLE or STABLE and write: a replica refuses, and the primary corrects. */
const CORRECTED = 'function that a plan calls';

// The expectations themselves are checked against real servers of each version beside this file.
describe.each([14, 16, 18])('the classification of the corpus by the catalogue of PostgreSQL %i', (postgresVersion) => {
  it('sends nothing to a replica that had to be on the primary, and keeps hardly a read from one', async () => {
    await using servers = await startTestCluster({ replicas: 0, postgresVersion });
    const client = new pg.Client(servers.primary.connectionString);
    await client.connect();
    await client.query(schema);
    await client.end();
    await using cluster = createCluster({
      primary: servers.primary.connectionString,
      readOnlyFunctions: ['app.search_products'],
    });
    const known = statements.filter(({ since = 0 }) => since <= postgresVersion);
    const found: { statement: Statement; explanation: Explanation }[] = [];
    for (const statement of known) found.push({ statement, explanation: await cluster.explain(statement.text) });

    const onReplica = found.filter(({ explanation }) => explanation.class === 'read').map(({ statement }) => statement);
    const misrouted = onReplica.filter(({ expected }) => expected !== 'read');
    const pure = known.filter((statement) => statement.pure === true);
    const kept = pure.filter((statement) => !onReplica.includes(statement));
    report(`PostgreSQL ${postgresVersion}`, {
      statements: known.length,
      'to replicas': onReplica.length,
      'pure reads': pure.length,
      'of those kept': kept.length,
      'misrouted and corrected': misrouted.length,
    });
    expect(misrouted.filter(({ silent }) => silent === true).map(text)).toEqual([]);
    expect(misrouted.filter(({ why }) => !why.includes(CORRECTED)).map(text)).toEqual([]);
    expect(misrouted.length).toBeLessThanOrEqual(known.filter(({ expected }) => expected !== 'read').length / 100);
    // An overload that writes keeps the calls by which it may be meant: not all types are worked out.
    expect(kept.filter((statement) => !/lower|describe_item/.test(statement.text)).map(text)).toEqual([]);
    const sessions = found.filter(({ statement }) => statement.expected === 'session');
    expect(
      sessions.filter(({ explanation }) => explanation.class !== 'session').map(({ statement }) => text(statement)),
    ).toEqual([]);
  }, 60_000);
});
