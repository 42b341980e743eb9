/** Through which position an answer still holds, by what has been told to have changed since. */
import { describe, expect, it } from 'vitest';
import { Dependence } from '../../../src/changes/dependence.js';
import { fixedColumnsOf } from '../../../src/changes/key-text.js';
import { ChangeLedger, type Definitions } from '../../../src/changes/ledger.js';
import type { KeyColumn } from '../../../src/sql/fixed-columns.js';

const STAMP = 'a';
const TABLES = ['public.users', 'public.orders'];
const start = { timeline: 1, lsn: 100n, tables: TABLES, tellsDefinitions: true };

const known = (unchangedThrough: bigint | undefined): Definitions & { unchangedThrough: bigint | undefined } => ({
  unchangedThrough,
  stamp: STAMP,
  problem: undefined,
  want: () => undefined,
});

function begun(maxKeys = 100, definitions = known(1_000_000n)): ChangeLedger {
  const ledger = new ChangeLedger(maxKeys, definitions);
  ledger.began(start);
  return ledger;
}
const dependence = (ledger: ChangeLedger, table: string, fixed?: ReadonlyMap<string, string>) =>
  new Dependence(ledger, [{ table, fixed }], STAMP);
const user = (id: string, ledger: ChangeLedger) => dependence(ledger, 'public.users', new Map([['id', id]]));
const users = (ledger: ChangeLedger) => dependence(ledger, 'public.users');
const ofRows = (...ids: string[]) => [{ table: 'public.users', keyColumns: ['id'], keys: ids.map((id) => [id]) }];

describe('an answer that was kept', () => {
  it('holds through the watermark while its tables do not change', () => {
    const ledger = begun();
    const answer = users(ledger);
    expect(answer.throughFrom(150n, 1)).toBeUndefined();
    ledger.changed([{ table: 'public.orders' }], 180n);
    ledger.reached(200n);
    expect(answer.throughFrom(150n, 1)).toBe(200n);
    ledger.changed([{ table: 'public.users' }], 210n);
    expect(answer.throughFrom(150n, 1)).toBeUndefined();
    ledger.reached(220n);
    expect([150n, 209n, 210n, 215n].map((at) => answer.throughFrom(at, 1))).toEqual([undefined, undefined, 220n, 220n]);
  });

  it('depends on all its tables', () => {
    const ledger = begun();
    const join = new Dependence(
      ledger,
      TABLES.map((table) => ({ table, fixed: undefined })),
      STAMP,
    );
    ledger.reached(200n);
    expect(join.throughFrom(150n, 1)).toBe(200n);
    ledger.changed([{ table: 'public.orders' }], 160n);
    expect(join.throughFrom(150n, 1)).toBeUndefined();
  });

  it('of a row holds while its neighbours change', () => {
    const ledger = begun();
    const [one, two] = [user('1', ledger), user('2', ledger)];
    ledger.changed(ofRows('2', '3'), 180n);
    ledger.reached(200n);
    expect(one.throughFrom(150n, 1)).toBe(200n);
    expect(two.throughFrom(150n, 1)).toBeUndefined();
    expect(users(ledger).throughFrom(150n, 1)).toBeUndefined();
    ledger.changed([{ table: 'public.users' }], 210n);
    ledger.reached(220n);
    expect(one.throughFrom(150n, 1)).toBeUndefined();
  });

  it('of a row counts as changed with the newest key that is not kept any more', () => {
    const ledger = begun(2);
    const [one, two, nine] = ['1', '2', '9'].map((id) => user(id, ledger));
    ledger.changed(ofRows('1'), 110n);
    ledger.changed(ofRows('2'), 120n);
    ledger.changed(ofRows('3'), 130n);
    ledger.reached(200n);
    expect(ledger.keyCount).toBe(2);
    expect([105n, 110n].map((at) => one?.throughFrom(at, 1))).toEqual([undefined, 200n]);
    expect([105n, 110n].map((at) => nine?.throughFrom(at, 1))).toEqual([undefined, 200n]);
    expect([115n, 120n].map((at) => two?.throughFrom(at, 1))).toEqual([undefined, 200n]);
    // A key that changes again is the latest.
    ledger.changed(ofRows('2'), 210n);
    ledger.changed(ofRows('4'), 220n);
    ledger.reached(230n);
    expect(two?.throughFrom(200n, 1)).toBeUndefined();
    expect([129n, 130n].map((at) => nine?.throughFrom(at, 1))).toEqual([undefined, 230n]);
  });

  it('of a row counts as changed when rows are told apart by other columns', () => {
    const ledger = begun();
    const one = user('1', ledger);
    ledger.changed(ofRows('1'), 110n);
    ledger.changed([{ table: 'public.users', keyColumns: ['mail'], keys: [['a']] }], 120n);
    ledger.reached(200n);
    expect([105n, 115n].map((at) => one.throughFrom(at, 1))).toEqual([undefined, undefined]);
    expect(one.throughFrom(120n, 1)).toBe(200n);
  });

  it('of a row by two columns needs both', () => {
    const ledger = begun();
    const half = dependence(ledger, 'public.users', new Map([['a', '1']]));
    const both = new Map(Object.entries({ b: 'x', a: '1' }));
    const whole = dependence(ledger, 'public.users', both);
    ledger.changed([{ table: 'public.users', keyColumns: ['a', 'b'], keys: [['1', 'y']] }], 180n);
    ledger.reached(200n);
    expect(half.throughFrom(150n, 1)).toBeUndefined();
    expect(whole.throughFrom(150n, 1)).toBe(200n);
    ledger.changed([{ table: 'public.users', keyColumns: ['a', 'b'], keys: [['1', 'x']] }], 210n);
    expect(whole.throughFrom(150n, 1)).toBeUndefined();
  });

  it.each<[string, (ledger: ChangeLedger) => void]>([
    ['after a gap', (ledger) => ledger.broken()],
    ['from before the source began', (ledger) => ledger.began({ ...start, lsn: 151n })],
    ['of another timeline', (ledger) => ledger.began({ ...start, timeline: 2 })],
    ['of a table that is not told of', (ledger) => ledger.began({ ...start, tables: ['public.orders'] })],
    ['after anything may have changed', (ledger) => ledger.changed('all', 151n)],
    ['after a definition has changed', (ledger) => ledger.definitionChanged(151n)],
  ])('%s holds through nothing', (_, happens) => {
    const ledger = begun();
    const answer = users(ledger);
    ledger.reached(200n);
    expect(answer.throughFrom(150n, 1)).toBe(200n);
    happens(ledger);
    ledger.reached(300n);
    expect(answer.throughFrom(150n, 1)).toBeUndefined();
  });

  it('holds no further than definitions are known to have held', () => {
    const definitions = known(170n);
    const ledger = begun(100, definitions);
    const answer = users(ledger);
    ledger.reached(200n);
    expect(answer.throughFrom(150n, 1)).toBe(170n);
    expect(answer.throughFrom(180n, 1)).toBeUndefined();
    definitions.unchangedThrough = undefined;
    expect(answer.throughFrom(150n, 1)).toBeUndefined();
  });

  it('whose dependence was found by other definitions holds through nothing', () => {
    const ledger = begun();
    ledger.reached(200n);
    const other = new Dependence(ledger, [{ table: 'public.users', fixed: undefined }], 'before');
    expect(other.throughFrom(150n, 1)).toBeUndefined();
    expect(users(ledger).throughFrom(150n, 1)).toBe(200n);
  });

  it('finds its tables again after the source began anew', () => {
    const ledger = begun();
    const one = user('1', ledger);
    ledger.changed(ofRows('1'), 180n);
    ledger.reached(200n);
    expect(one.throughFrom(150n, 1)).toBeUndefined();
    ledger.began({ ...start, lsn: 210n });
    ledger.reached(220n);
    expect([150n, 210n].map((at) => one.throughFrom(at, 1))).toEqual([undefined, 220n]);
    ledger.changed(ofRows('1'), 230n);
    expect(one.throughFrom(210n, 1)).toBeUndefined();
  });
});

describe('values of keys', () => {
  const column = (type: string): readonly KeyColumn[] => [
    { column: 'id', value: { parameter: 1 }, cast: undefined, type },
  ];
  it.each([
    ['20', '007', '7'],
    ['23', '-0', '0'],
    ['23', 7, '7'],
    ['25', 7, '7'],
    ['21', '-12', '-12'],
    ['2950', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['25', ' a ', ' a '],
  ])('of type %s, %j is %j', (type, given, expected) => {
    expect(fixedColumnsOf(column(type), [given])?.get('id')).toBe(expected);
  });

  it.each([
    ['23', '7.0'],
    ['23', 7.5],
    ['23', 1e21],
    ['16', true],
    ['23', ' 7'],
    ['23', '0x7'],
    ['20', '9'.repeat(1_000)],
    ['2950', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'],
    ['1700', '1'],
    ['1042', 'a'],
    ['25', null],
    ['25', Buffer.from('a')],
  ])('of type %s, %j is not told apart by its text', (type, given) => {
    expect(fixedColumnsOf(column(type), [given])).toBeUndefined();
  });

  it('may stand in the statement', () => {
    const key = [{ column: 'id', value: { constant: '07' }, cast: undefined, type: '23' }];
    expect(fixedColumnsOf(key, [])?.get('id')).toBe('7');
    expect(fixedColumnsOf([], [])).toBeUndefined();
  });
});
