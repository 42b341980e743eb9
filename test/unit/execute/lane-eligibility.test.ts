import { describe, expect, it } from 'vitest';
import { LaneEligibility, type Offered } from '../../../src/execute/lane-eligibility.js';
import type { RelationRow } from '../../../src/sql/catalog-rows.js';
import { Classifier } from '../../../src/statements/classifier.js';

const items: RelationRow = {
  schema: 'public',
  name: 'items',
  kind: 'p',
  persistence: 'p',
  definition: null,
  policies: null,
  hidden: null,
  rowType: '20000',
  columns: ['23 id'],
  memberCount: 6,
};

/** What may share a connection, by the real classifier on a catalogue that is played. */
function eligibility(hasLanes = true) {
  const classifier = new Classifier({
    load: async () => ({
      searchPath: ['pg_catalog', 'public'],
      functions: [],
      relations: [items],
      operators: [],
      types: [],
      resolution: { operators: [], functions: [], records: [], kin: [], casts: [] },
    }),
    grammarMissing: (cause) => {
      throw cause;
    },
    readOnlyFunctions: [],
    catalogRefreshMillis: 2 ** 31,
    rejectsInvalidHints: true,
  });
  const own = new LaneEligibility(classifier, hasLanes);
  const now = performance.now();
  const profileOf = (text: string) => {
    const profile = own.recordUse(text);
    if (profile === undefined) throw new Error('no server takes it');
    return profile;
  };
  /** As it travels, once its text is known and was fast. */
  const offer = async (query: unknown, values?: unknown[], text = String(query)) => {
    const profile = profileOf(text);
    await classifier.ready();
    await classifier.classify(text);
    profile.took(0.1);
    return own.laneStatement({ query, values } as Offered, profile, now);
  };
  return { own, classifier, offer, profileOf, now };
}

const READ = 'select id from items where id = $1';

describe('what shares a connection', () => {
  it('is a read that is proven to be one, and was fast when it ran before', async () => {
    const { own, classifier, profileOf, now } = eligibility();
    const profile = profileOf(READ);
    const offered = { query: READ, values: [1] } as Offered;
    expect(own.laneStatement(offered, profile, now)).toBeUndefined();
    profile.took(0.1);
    // Not classified yet: that goes on in the background, and this one has a connection of its own.
    expect(own.laneStatement(offered, profile, now)).toBeUndefined();
    await classifier.ready();
    await classifier.classify(READ);
    expect(own.laneStatement(offered, profile, now)).toEqual({
      text: READ,
      values: [1],
      rowMode: undefined,
      types: undefined,
    });
    profile.heldUp(now);
    expect(own.laneStatement(offered, profile, now)).toBeUndefined();
    expect(own.laneStatement(offered, profile, now + 1_000)).toBeDefined();
  });

  it('is nothing where no server has shared connections', async () => {
    expect(await eligibility(false).offer(READ, [1])).toBeUndefined();
  });

  it.each([
    'insert into items values (1)',
    'select id from items for update',
    'select id from items; select 1',
    'select id from unknown_table',
    'select unknown_function()',
    'select pg_advisory_lock(1)',
    "select set_config('search_path', 'other', false)",
    'declare c cursor for select id from items',
    'begin',
    'no statement at all',
  ])('is not what writes, leaves or needs something on its connection: %s', async (text) => {
    expect(await eligibility().offer(text, [])).toBeUndefined();
  });

  it('is of whatever form makes no difference to others', async () => {
    const types = { getTypeParser: () => String };
    const { offer } = eligibility();
    expect(await offer({ text: READ, values: [1], rowMode: 'array', types }, undefined, READ)).toEqual({
      text: READ,
      values: [1],
      rowMode: 'array',
      types,
    });
    expect(await offer({ text: READ, name: 'own' }, [2], READ)).toMatchObject({ values: [2] });
    expect(await offer('select id from items')).toMatchObject({ values: [] });
  });

  it.each([
    { rows: 10 },
    { portal: 'p' },
    { binary: true },
    { queryMode: 'extended' },
    { query_timeout: 50 },
    { callback: () => undefined },
    { rowMode: 'object' },
    { types: [] },
    { something: 'new' },
  ])('is not what asks for anything else of its connection: %o', async (more) => {
    expect(await eligibility().offer({ text: READ, values: [1], ...more }, undefined, READ)).toBeUndefined();
  });

  it('has its values turned into text before it is sent: one that cannot be has a connection of its own, or throws', async () => {
    const { offer } = eligibility();
    expect(await offer(READ, [{ toPostgres: () => 7 }])).toMatchObject({ values: ['7'] });
    expect(await offer(READ, [['a', null]])).toMatchObject({ values: ['{"a",NULL}'] });
    expect(await offer(READ, 'no array' as never)).toBeUndefined();
    expect(await offer(READ, Array.from({ length: 65_536 }))).toBeUndefined();
    const refuse = () => {
      throw new Error('its own conversion');
    };
    await expect(offer(READ, [{ toPostgres: refuse }])).rejects.toThrow('its own conversion');
  });
});

describe('a text that comes again', () => {
  it('is counted, and the tables of its plan with it, once it has a name', async () => {
    const { own, classifier, profileOf } = eligibility();
    await classifier.ready();
    await classifier.classify(READ);
    expect([profileOf(READ).name, profileOf(READ).tableCount]).toEqual([undefined, 7]);
    expect(profileOf(READ).name).toMatch(/^pgladder_select_items_/);
    expect(own.recordUse(undefined)).toBeUndefined();
  });

  it('makes nobody read the catalogue as long as no text was to be classified', async () => {
    const { classifier, profileOf } = eligibility();
    for (let i = 0; i < 3; i++) expect(profileOf(READ).tableCount).toBeUndefined();
    expect(classifier.isInUse).toBe(false);
  });
});
