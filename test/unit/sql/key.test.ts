import { beforeAll, describe, expect, it } from 'vitest';
import { Grammar } from '../../../src/sql/grammar.js';
import { type ColumnName, equalitiesOf } from '../../../src/sql/key.js';

describe('the equalities of a text', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });
  const named = ({ alias, column }: ColumnName) => (alias === undefined ? column : `${alias}.${column}`);
  const terms = (text: string) =>
    equalitiesOf(grammar.parse(text)).equalities.map(({ column, other, only }) => {
      const within = only === undefined ? '' : ` of ${[...only].join()}`;
      if ('column' in other) return `${named(column)} = ${named(other)}${within}`;
      const { value, cast } = other;
      const shown = 'parameter' in value ? `$${value.parameter}` : `'${value.constant}'`;
      return `${named(column)} = ${shown}${cast === undefined ? '' : `::${cast}`}${within}`;
    });

  it.each([
    ['select * from t where id = $1', ['id = $1']],
    ['select * from t where $2 = id', ['id = $2']],
    ['select * from t where id = 7', ["id = '7'"]],
    ['select * from t where id = 0', ["id = '0'"]],
    ['select * from t where id = 3000000000', ["id = '3000000000'"]],
    ["select * from t where name = 'a'", ["name = 'a'"]],
    ["select * from t where name = ''", ["name = ''"]],
    ['select * from t where open = false', ["open = 'f'"]],
    ['select * from app.t as x where x.id = $1 and (x.kind = $2 and x.age > 3)', ['x.id = $1', 'x.kind = $2']],
    ['select * from t where (a, b) = ($1, $2)', ['a = $1', 'b = $2']],
    ['select count(*) from t where id = $1::bigint group by kind', ['id = $1::int8']],
    ['select * from t where id operator(pg_catalog.=) $1', ['id = $1']],
    ['select * from t where id = $1 and (a = 1 or b = 2)', ['id = $1']],
    ['select * from t where id = other', ['id = other']],
    ['select * from t, u where t.id = $1 and u.id = t.id', ['t.id = $1', 'u.id = t.id']],
    ['select * from t join u on u.t_id = t.id where t.id = $1', ['u.t_id = t.id', 't.id = $1']],
    ['select * from t left join u on u.t_id = t.id and u.x = 1', ['u.t_id = t.id of u', "u.x = '1' of u"]],
    ['select * from t right join u on u.t_id = t.id', ['u.t_id = t.id of t']],
    [
      'select * from t left join (u join v on v.id = u.id) on u.id = t.id',
      ['v.id = u.id of u,v', 'u.id = t.id of u,v'],
    ],
    ['select * from (t left join u on u.id = t.id) join v on v.id = u.id', ['u.id = t.id of u', 'v.id = u.id']],
    ['select * from t join u using (id) where id = $1', ['t.id = u.id', 'id = $1']],
    ['select * from t join u using (id) join v using (id)', ['t.id = u.id']],
  ])('%s: %j', (text, expected) => {
    expect(terms(text)).toEqual(expected);
  });

  it.each([
    ['an alternative', 'select * from t where id = $1 or id = $2'],
    ['a negation', 'select * from t where not id = $1'],
    ['another operator', 'select * from t where id > $1'],
    ['an operator of a user', 'select * from t where id operator(app.=) $1'],
    ['a list', 'select * from t where id = any ($1)'],
    ['an expression', 'select * from t where lower(name) = $1'],
    ['a computed value', 'select * from t where id = $1 + 1'],
    ['NULL, which equals nothing', 'select * from t where id = null'],
    ['a fraction, which is written in several ways', 'select * from t where id = 5.0'],
    ['a type with a length, which cuts the value', 'select * from t where name = $1::varchar(3)'],
    ['a full join', 'select * from t full join u on u.id = t.id where t.id = $1'],
    ['a natural join', 'select * from t natural join u where id = $1'],
    ['a join with a name of its own', 'select * from (t join u on u.id = t.id) as j where id = $1'],
    ['one name for two tables', 'select * from a.t, b.t where t.id = $1'],
    ['a function beside', 'select * from t, generate_series(1, 2) where t.id = $1'],
    ['a union', 'select * from t where id = $1 union select * from t'],
    ['a common table expression', 'with t as (select 1 as id) select * from t where id = $1'],
    ['a subquery', 'select * from (select * from t) t where id = $1'],
    ['columns with other names', 'select * from t as t (b, a) where a = $1'],
    ['two statements', 'select * from t where id = $1; select 1'],
    ['no WHERE', 'select * from t'],
    ['a write', 'delete from t where id = $1'],
  ])('%s has none', (_, text) => {
    expect(terms(text)).toEqual([]);
  });
});
