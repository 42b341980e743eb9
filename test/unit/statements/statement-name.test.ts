import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { statementName } from '../../../src/statements/statement-name.js';

const HASH = '_[0-9a-z]{25}$';

describe('the name of a prepared statement', () => {
  it.each([
    ['select * from users where id = $1', 'pgladder_select_users'],
    ['SELECT u.name FROM app."Users" u JOIN orders o ON true', 'pgladder_select_users'],
    ['insert into orders (a, b) values ($1, $2) on conflict do update set a = 1', 'pgladder_insert_orders'],
    ['update only shop.items set n = $1', 'pgladder_update_items'],
    ['delete from carts', 'pgladder_delete_carts'],
    ['merge into stock using news on true', 'pgladder_merge_stock'],
    ['table colours', 'pgladder_table_colours'],
    ['values ($1)', 'pgladder_values'],
    ['select 1', 'pgladder_select'],
    ['select 1 for update', 'pgladder_select'],
    ['select a is distinct from b from t', 'pgladder_select_t'],
    ['select extract(epoch from at), trim(both from name) from log', 'pgladder_select_log'],
    ['select (select max(at) from log) from users', 'pgladder_select_log'],
    ['select * from (select * from inner_one) x', 'pgladder_select_inner_one'],
    ['with x as (select * from users), y as (delete from z) insert into w select 1', 'pgladder_insert_users'],
    ['/* from secrets */ select -- from hidden\n * from shown', 'pgladder_select_shown'],
    ["select 'from secrets', $1 from shown", 'pgladder_select_shown'],
    ['select * from generate_series(1, $1)', 'pgladder_select_generate_series'],
    ['(select a from t1) union (select b from t2)', 'pgladder_select_t1'],
    ['select * from "größe"', 'pgladder_select_gr_e'],
  ])('%s: tells what it is', (text, words) => {
    expect(statementName(text)).toMatch(new RegExp(`^${words}${HASH}`));
  });

  it.each([
    ["select 'it''s from secrets'"],
    ["select E'\\' from secrets' from t"],
    ['select $$ from secrets $$ from t'],
    ['select $tag$ from secrets $tag$ from t'],
    ["select 'without an end from secrets"],
    ['select /* a /* nested */ from secrets */ 1'],
    ['select 1 -- from secrets'],
    ['select 1 /* from secrets'],
    [`select '${'x'.repeat(5_000)}' from secrets`],
  ])('%s: has nothing of a string or a comment in it', (text) => {
    expect(statementName(text)).not.toContain('secret');
  });

  it('fits, and is another one for every text', () => {
    const names = new Map<string, string>();
    const anyText = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string().map((name) => `select 1 from "${name}"`),
    );
    fc.assert(
      fc.property(anyText, (text) => {
        const name = statementName(text);
        expect(name).toMatch(/^pgladder_[0-9a-z_]{1,54}$/);
        expect(statementName(text)).toBe(name);
        expect(names.get(name) ?? text).toBe(text);
        names.set(name, text);
      }),
    );
    const long = `select * from ${'a_very_long_name_of_a_table'.repeat(3)}`;
    expect(statementName(long)).toHaveLength(63);
  });

  it('takes no longer for a long text that never gets to a relation', () => {
    const text = `select ${'("/*'.repeat(500_000)}`;
    const before = performance.now();
    statementName(text);
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});
