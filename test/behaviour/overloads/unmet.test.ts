import { describe, expect, it } from 'vitest';
import { chosen, definesNamesakes, having, hostile, operator } from './namesakes.js';

definesNamesakes();

describe('namesakes of operators and functions', () => {
  it('do not count on types that a statement cannot meet, so that one who may CREATE keeps nobody on the primary', async () => {
    const first = operator('=', 'mine', 'mine');
    const [, call] = /create function (\w+)/.exec(first[0] ?? '') ?? [];
    const pins = [
      ...first,
      ...operator('=', 'mine', 'int'),
      ...operator('=', 'int', 'mine'),
      ...operator('=', 'pair', 'pair'),
      ...operator('=', 't', 't'),
      ...operator('=', 'own_int', 'own_int'),
      ...operator('=', 'own_text', 'own_text'),
      ...operator('=', 'int', 'text'),
      ...operator('=', 'point', 'point'),
      ...operator('<', 'mine', 'mine'),
      ...operator('>', 'own_text', 'own_text'),
      ...operator('>=', 'span', 'span'),
      ...operator('~~', 'own_text', 'mine'),
      ...operator('||', 'mine', 'mine'),
      hostile('lower', 'mine', 'text'),
      hostile('count', 'mine', 'bigint'),
      hostile('now', 'a mine default null', 'timestamptz'),
      hostile('id', 'mine', 'int'),
      hostile('id', 't', 'int'),
      hostile('name', 'pair', 'text'),
      hostile('cast_in', 'int', 'mine'),
      'create cast (int as mine) with function cast_in(int) as implicit',
      `create domain abs as int check (${call}('x', 'y'))`,
    ];
    const honest = [
      'select * from t where id = 1',
      'select * from t where id = $1',
      'select t.id, t.name from t where t.id = $1 and t.name = $2',
      'select x.id from t as x join u on u.t_id = x.id where x.id in (1, 2, 3)',
      'select * from t where id = any($1::int[])',
      'select * from t where id between $1 and $2 order by id limit 10',
      'select id from t where id in (select t_id from u where u.id = $1)',
      'select count(*) from t where id < 10 and amount > 1.5',
      'select lower(name) from t where name = $1',
      "select id from t where name like 'a%'",
      'select id from v where id = $1',
      'select id from t where made < now() and flag = true and state = $1',
      'select name from t join u using (id)',
      'select case id when 1 then $1 else name end from t',
      'select sum(amount), max(id), abs(id) from t group by name having max(id) > 5',
      'select s.id from (select id from t) s',
    ];
    await having(pins, async (judge) => {
      const kept = honest.filter((text) => judge(text).class !== 'read');
      expect(kept.map((text) => `${text}: ${judge(text).because}`)).toEqual([]);
    });
  });

  it('count where they are applied without being written', async () => {
    const evil = (name: string, left = 'int', right = 'numeric'): string[] => operator(name, left, right);
    const hidden: [definitions: string[], text: string][] = [
      [evil('>='), 'select id as a from t where id between 1.5 and 3'],
      [evil('<'), 'select id as a from t where id not between 1.5 and 3'],
      [evil('='), 'select case id when 1.5 then 1 end as a from t'],
      [evil('='), 'select id as a from t where id in (select amount from t)'],
      [evil('='), 'select id as a from t where id in (1, 2.5)'],
      [evil('=', 'mood', 'mood'), 'select t.id as a from t join u using (state)'],
      [evil('=', 'mood', 'mood'), 'select 1 as a from t natural join u'],
      [evil('=', 'mood', 'mood'), "select id as a from t where state = 'good'"],
      [evil('||', 'mine', 'int'), "select 'x' || id as a from t"],
      [[hostile('first', 'int', 'int')], 'select (1).first as a'],
      [[hostile('zip', 't', 'int')], 'select t.zip as a from t'],
      [[hostile('zip', 't', 'int')], 'select s.zip as a from (select * from t) s'],
      [
        [hostile('test', 'text', 'boolean'), 'create domain lower as text check (test(value))'],
        "select lower('A') as a",
      ],
      [
        [
          hostile('as_mine', 'int', 'mine'),
          'create cast (int as mine) with function as_mine(int) as implicit',
          hostile('take', 'mine', 'int'),
        ],
        'select take(1) as a',
      ],
    ];
    for (const [definitions, text] of hidden) {
      await having(definitions, async (judge) => {
        // A domain's condition stands behind its type, where nothing says what it calls.
        if (!text.includes('lower')) expect(await chosen(text), text).toHaveLength(text.includes('take') ? 2 : 1);
        expect(judge(text).class, text).toBe('write');
      });
    }
  });
});
