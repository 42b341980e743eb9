// What the library says that an answer depends on, beside what PostgreSQL itself does: it locks every relation that a
// statement touches, and an answer that repeats is the same on another connection, for another role, later.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stableBuiltIns, volatileBuiltIns } from '../../src/sql/built-ins.js';
import type { Dependencies } from '../../src/sql/dependencies.js';
import { Classifier } from '../../src/statements/classifier.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { report } from '../behaviour/fixture.js';
import { catalogOf } from './catalog-of.js';
import { schema } from './schema.js';
import { statements } from './statements.js';

/** Relations that this transaction has locked, with the tables that they are parts of; PostgreSQL's own are left out. */
const LOCKED = `
  with recursive locked as (
    select distinct c.oid, c.oid as self from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = pg_backend_pid() and l.locktype = 'relation' and c.relkind in ('r', 'p', 'v', 'm', 'f') and c.oid >= 16384
    union select i.inhparent, locked.self from locked join pg_inherits i on i.inhrelid = locked.oid
  )
  select string_agg(n.nspname || '.' || c.relname, ' ') as names
  from locked join pg_class c on c.oid = locked.oid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname <> 'pg_toast' group by self`;

describe.each([14, 16, 18])('what answers depend on, by PostgreSQL %i', (postgresVersion) => {
  let servers: TestCluster;
  let client: pg.Client;
  let other: pg.Client;
  let classifier: Classifier;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0, postgresVersion });
    client = new pg.Client(servers.primary.connectionString);
    other = new pg.Client(servers.primary.connectionString);
    await Promise.all([client.connect(), other.connect()]);
    await client.query(schema);
    classifier = new Classifier({
      load: () => catalogOf(client),
      grammarMissing: (error) => {
        throw error;
      },
      readOnlyFunctions: [],
      catalogRefreshMillis: 2 ** 31,
      rejectsInvalidHints: true,
    });
    await classifier.ready();
  }, 60_000);
  afterAll(async () => {
    await client?.end();
    await other?.end();
    await servers?.stop();
  });

  /** Statements of the corpus that can run by themselves, and are found to read. */
  async function reads(): Promise<{ text: string; found: Dependencies }[]> {
    const known = statements.filter(({ since = 0 }) => since <= postgresVersion);
    const found: { text: string; found: Dependencies }[] = [];
    for (const { text } of known) {
      const { class: is, isSingle } = await classifier.classify(text);
      if (is === 'read' && isSingle) found.push({ text, found: await classifier.dependencies(text) });
    }
    return found;
  }

  it('names every relation that PostgreSQL locks for a read, behind views and functions too', async () => {
    const missed: string[] = [];
    let checkedCount = 0;
    let surplusCount = 0;
    for (const { text, found } of await reads()) {
      await client.query('begin');
      try {
        await client.query(text);
        const { rows } = await client.query<{ names: string }>(LOCKED);
        const named = new Set(found.relations.map(({ schema: of, name }) => `${of}.${name}`));
        const locked = rows.map(({ names }) => names.split(' '));
        checkedCount++;
        surplusCount += Number(
          [...named].some((name) => !name.startsWith('pg_catalog') && !locked.flat().includes(name)),
        );
        if (found.mayBeMore === undefined && !locked.every((names) => names.some((name) => named.has(name))))
          missed.push(`${text}: ${JSON.stringify(locked)} / ${[...named].join()}`);
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) throw error;
      } finally {
        await client.query('rollback');
      }
    }
    report(`PostgreSQL ${postgresVersion}`, { 'reads checked': checkedCount, 'with relations to spare': surplusCount });
    expect(missed).toEqual([]);
    expect(checkedCount).toBeGreaterThan(200);
  });

  it('calls no answer repeatable that another session gets otherwise', async () => {
    await other.query('set role corpus_reader');
    await other.query("set default_text_search_config = 'simple'");
    const differing: string[] = [];
    let repeatedCount = 0;
    for (const { text, found } of await reads()) {
      if (found.repeatability.repeats !== 'always') continue;
      const [first, second] = await Promise.all([answerOf(client, text), answerOf(other, text)]);
      if (first === undefined || second === undefined) continue;
      repeatedCount++;
      if (first !== second) differing.push(text);
    }
    report(`PostgreSQL ${postgresVersion}`, { 'answers that repeat': repeatedCount });
    expect(differing).toEqual([]);
    expect(repeatedCount).toBeGreaterThan(40);
  });

  it('knows every built-in function that is not IMMUTABLE', async () => {
    const { rows } = await client.query<{ name: string; volatility: string }>(
      `select distinct proname as name, provolatile as volatility from pg_proc p
       where pronamespace = 'pg_catalog'::regnamespace and provolatile <> 'i' and oid < 16384
         and not prorettype::regtype::text ~ '^(internal|cstring|trigger|event_trigger|.*_handler)$'
         and not proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
         and not exists (select from pg_type where p.oid in (typinput, typoutput, typreceive, typsend, typmodin, typmodout))
         and not exists (select from pg_language where p.oid in (lanplcallfoid, laninline, lanvalidator))`,
    );
    const unknown = rows.filter(
      ({ name, volatility }) => !(volatility === 's' ? stableBuiltIns : volatileBuiltIns).has(name),
    );
    expect(unknown).toEqual([]);
  });
});

/** `undefined` where it fails. */
async function answerOf(client: pg.Client, text: string): Promise<string | undefined> {
  try {
    const { rows } = await client.query(text);
    return JSON.stringify(rows);
  } catch (error) {
    if (error instanceof pg.DatabaseError) return undefined;
    throw error;
  }
}
