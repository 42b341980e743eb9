import { describe, expect, it } from 'vitest';
import type { CatalogRows, RelationRow } from '../../../src/sql/catalog-rows.js';
import { StatementCache } from '../../../src/statements/cache.js';
import { Classifier } from '../../../src/statements/classifier.js';

const relation = (name: string, over: Partial<RelationRow> = {}): RelationRow => ({
  schema: 'public',
  name,
  kind: 'r',
  persistence: 'p',
  definition: null,
  policies: null,
  hidden: null,
  rowType: '20000',
  columns: ['23 id'],
  memberCount: 0,
  ...over,
});

/** A classifier of a server whose catalogue can be changed, and that counts how often it is read. */
function played(...relations: RelationRow[]) {
  const server = { relations, loadCount: 0 };
  const classifier = new Classifier({
    load: async (): Promise<CatalogRows> => {
      server.loadCount++;
      const resolution = { operators: [], functions: [], records: [], kin: [], casts: [] };
      return {
        searchPath: ['pg_catalog', 'public'],
        functions: [],
        relations: [...server.relations],
        operators: [],
        types: [],
        resolution,
      };
    },
    grammarMissing: (cause) => {
      throw cause;
    },
    readOnlyFunctions: [],
    catalogRefreshMillis: 2 ** 31,
    rejectsInvalidHints: true,
  });
  return { classifier, server };
}

describe('what is known of a text', () => {
  it('stands in one entry: its class, its dependencies, its digest and what running it has taught', async () => {
    const { classifier } = played(relation('t'));
    await classifier.ready();
    const text = 'select * from t where id = $1';
    const entry = classifier.statements.recordUse(text);
    entry.profile.took(1);
    await classifier.classify(text);
    await classifier.dependencies(text);
    classifier.digest(text);
    expect(classifier.statements.find(text)).toBe(entry);
    expect(classifier.known(text, performance.now())?.class).toBe('read');
    expect(classifier.knownDependencies(text)?.relations).toEqual([{ schema: 'public', name: 't', kind: 'table' }]);
    expect(entry.meaning.digest).toBe(classifier.digest(text));
    expect(entry.profile.expectedMillis).toBe(1);
  });

  it('computes dependencies only for whoever asks for them, and once', async () => {
    const { classifier } = played(relation('t'));
    await classifier.ready();
    await classifier.classify('select * from t');
    expect(classifier.knownDependencies('select * from t')).toBeUndefined();
    const first = await classifier.dependencies('select * from t');
    expect(await classifier.dependencies('select * from t')).toBe(first);
  });

  it('is found out anew when the catalogue says something else', async () => {
    const { classifier, server } = played(
      relation('t'),
      relation('u'),
      relation('v', { kind: 'v', definition: 'SELECT t.id FROM public.t' }),
    );
    await classifier.ready();
    const names = async () =>
      (await classifier.dependencies('select * from v')).relations.map(({ name }) => name).sort();
    expect(await names()).toEqual(['t', 'v']);
    server.relations.splice(2, 1, relation('v', { kind: 'v', definition: 'SELECT u.id FROM public.u' }));
    classifier.changed('create or replace view v as select id from u');
    expect(classifier.knownDependencies('select * from v')).toBeUndefined();
    expect(await names()).toEqual(['u', 'v']);
    expect(server.loadCount).toBe(2);
    // Nor does what was found before count once the new catalogue is in place.
    await classifier.classify('select * from v');
    classifier.changed('drop view other');
    await classifier.ready();
    expect(classifier.known('select * from v', performance.now())).toBeUndefined();
    expect(classifier.knownDependencies('select * from v')).toBeUndefined();
  });

  it('is shared by texts that differ in a trailing comment only, whichever of them was met first', async () => {
    const { classifier } = played(relation('t'));
    await classifier.ready();
    const [first, second] = ['select * from t /* request 1 */', 'select * from t /* request 2 */'];
    await classifier.classify(first);
    expect(classifier.known(second, performance.now())?.class).toBe('read');
    await classifier.dependencies(second);
    expect(classifier.knownDependencies(first)?.relations).toHaveLength(1);
    classifier.misrouted(first);
    expect(classifier.known(second, performance.now())?.class).toBe('write');
  });

  it('counts as depending on anything for a write, a text that is no SQL, and an unknown table', async () => {
    const { classifier } = played(relation('t'));
    for (const text of ['delete from t', 'selekt 1', 'select * from nobody']) {
      const { mayBeMore, keys } = await classifier.dependencies(text);
      expect([text, typeof mayBeMore, keys]).toEqual([text, 'string', []]);
    }
    expect((await classifier.dependencies('delete from t')).repeatability.repeats).toBe('never');
  });

  it('has the same digest under every comment', async () => {
    const { classifier } = played();
    expect(await classifier.digestOf('select 1 /* a */')).toBe(await classifier.digestOf('select 2 /* b */'));
  });
});

describe('the entries of texts', () => {
  it('a comment that comes again gets its text an entry with a name of its own, and the same meaning', () => {
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    const shared = statements.recordUse('select 1 /* a */');
    expect(statements.recordUse('select 1 /* b */')).toBe(shared);
    const own = statements.recordUse('select 1 /* a */');
    expect(own).not.toBe(shared);
    expect(own.meaning).toBe(shared.meaning);
    expect([own.profile.name, shared.profile.name]).toEqual([expect.stringMatching(/^pgladder_/), undefined]);
    expect(statements.find('select 1 /* a */')).toBe(own);
    expect(statements.find('select 1 /* c */')).toBe(shared);
  });

  it('are not made by looking for them', () => {
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    expect(statements.find('select 1')).toBeUndefined();
    expect(statements.find('select 1')).toBeUndefined();
  });
});
