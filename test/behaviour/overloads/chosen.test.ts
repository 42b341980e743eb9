import { describe, expect, it } from 'vitest';
import { Random } from '../../simulation/random.js';
import { report, size } from '../fixture.js';
import { chosen, client, definesNamesakes, having, hostile, nextSerial, operator } from './namesakes.js';

definesNamesakes();

describe('namesakes of operators and functions', () => {
  it('never count as harmless where PostgreSQL chooses one that writes', async () => {
    const random = new Random(17);
    const types =
      'int bigint numeric text varchar mood email rank address mine pair own_text own_int span t u child record jsonb int[] mine[] mood[] boolean'.split(
        ' ',
      );
    const operators = '= <> < <= > >= || + - * ~~ !~~ ~~* ~ @> <@ -> ### @@'.split(' ');
    const functions = 'lower abs length max count coalesce_ concat upper name id state home zip street sum round'.split(
      ' ',
    );
    const type = (): string => random.pick(types.filter((each) => each !== 'record'));
    const definition = (): string[] => {
      const kind = random.next();
      if (kind < 0.55) return operator(random.pick(operators), type(), type());
      if (kind < 0.7) return [hostile(random.pick(functions), type(), type())];
      if (kind < 0.8)
        return [
          hostile(random.pick(functions), `${type()}, b ${type()}${random.chance(0.5) ? ' default null' : ''}`, type()),
        ];
      if (kind < 0.85)
        return [
          hostile(random.pick(functions), `variadic a ${random.pick(['int[]', 'mine[]', 'text[]', 'mood[]'])}`, type()),
        ];
      if (kind < 0.9) return [`create domain ${random.pick(functions)} as ${type()}`];
      const [source, target, call] = [type(), type(), `evil_${nextSerial()}`];
      const context = random.chance(0.7) ? 'as implicit' : 'as assignment';
      return [
        hostile(call, source, target),
        `create cast (${source} as ${target}) with function ${call}(${source}) ${context}`,
      ];
    };
    const columns =
      't.id t.big t.name t.tag t.amount t.state t.mail t.home t.doc t.ids t.made t.flag t.level u.id u.t_id u.name u.state big amount mail home level t u'.split(
        ' ',
      );
    const columnOf: Record<string, string[]> = {
      int: ['t.id', 'u.id', 'u.t_id', '1'],
      bigint: ['t.big', 'big', '99999999999'],
      numeric: ['t.amount', 'amount', '2.5'],
      text: ['t.name', 'u.name'],
      varchar: ['t.tag'],
      mood: ['t.state', 'u.state'],
      email: ['mail'],
      rank: ['t.level', 'level'],
      address: ['t.home', 'home'],
      jsonb: ['t.doc'],
      'int[]': ['t.ids'],
      boolean: ['t.flag', 'true'],
      t: ['t', 't.*'],
      u: ['u', 'u.*'],
      record: ['row(1, 2)'],
    };
    const leaf = (): string => {
      const kind = random.next();
      if (kind < 0.4) return random.pick(columns);
      if (kind < 0.7) return random.pick(['null', 'null', "'1'", '1', '2.5', 'true', '99999999999']);
      return `null::${type()}`;
    };
    /** Something of a type, or that could be taken for it. */
    const like = (name: string, depth: number): string => {
      const kind = random.next();
      if (kind < 0.5) return random.pick(columnOf[name] ?? [`null::${name}`]);
      if (kind < 0.65) return `null::${name}`;
      if (kind < 0.8) return 'null';
      if (kind < 0.85) return `case when true then ${random.pick(columnOf[name] ?? [`null::${name}`])} end`;
      return depth === 0 ? leaf() : `(${expression(depth - 1)})`;
    };
    /** Applies one of the namesakes that there are, more or less as it would have it. */
    const aimed = (depth: number): string => {
      const { name, types: wanted, isOperator } = random.pick(aims);
      const operands = wanted.map((each) => like(each, depth));
      if (!isOperator) return random.chance(0.15) ? `(${operands[0]}).${name}` : `${name}(${operands.join(', ')})`;
      const [a, b] = operands;
      if (name === '=')
        return random.pick([
          `(${a} = ${b})`,
          `(${a} in (${b}, ${b}))`,
          `(${a} in (select ${b} from u))`,
          `(${a} = any (array[${b}]))`,
          `(case ${a} when ${b} then 1 end)`,
          `nullif(${a}, ${b})`,
          `(${a} is distinct from ${b})`,
          `((${a}, 1) = (${b}, 1))`,
          `(t.id, ${a}) in (select 1, ${b})`,
        ]);
      if (name === '>=' || name === '<=')
        return random.pick([
          `(${a} ${name} ${b})`,
          `(${a} between ${b} and ${b})`,
          `(${a} between symmetric ${b} and ${b})`,
        ]);
      if (name === '<' || name === '>') return random.pick([`(${a} ${name} ${b})`, `(${a} not between ${b} and ${b})`]);
      if (name === '~~') return random.pick([`(${a} like ${b})`, `(${a} ~~ all (array[${b}]))`]);
      return `(${a} ${name} ${b})`;
    };
    const expression = (depth: number): string => {
      if (depth === 0) return leaf();
      if (aims.length > 0 && random.chance(0.6)) return aimed(depth);
      const e = (): string => expression(random.chance(0.5) ? 0 : depth - 1);
      const f = random.pick(functions);
      const op = random.pick(operators);
      return random.pick([
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `${f}(${e()})`,
        () => `${f}(${e()})`,
        () => `${f}(${e()}, ${e()})`,
        () => `(${e()} in (${e()}, ${e()}))`,
        () => `(${e()} between ${e()} and ${e()})`,
        () => `(case ${e()} when ${e()} then ${e()} else ${e()} end)`,
        () => `(case when true then ${e()} else ${e()} end)`,
        () => `nullif(${e()}, ${e()})`,
        () => `coalesce(${e()}, ${e()})`,
        () => `(${e()} is distinct from ${e()})`,
        () => `(${e()} like ${e()})`,
        () => `(${e()} in (select ${e()} from u))`,
        () => `(${e()} = any (array[${e()}, ${e()}]))`,
        () => `(row(${e()}, ${e()}) = row(${e()}, ${e()}))`,
        () => `(${e()}).${random.pick([...functions, 'a', 'b'])}`,
        () => `(t).${random.pick(functions)}`,
        () => `greatest(${e()}, ${e()})`,
        () => `(${e()}::${type()})`,
        () => `(select ${e()} from u limit 1)`,
        () => `(${e()} collate "C")`,
      ])();
    };
    const statement = (): string => {
      const e = (): string => expression(2);
      return random.pick([
        () => `select ${e()} as a from t, u`,
        () => `select t.id as a from t, u where ${e()}`,
        () =>
          `select 1 as a from t join u using (${random.pick(['id', 'name', 'state'])}) where u.t_id = ${expression(1)}`,
        () => 'select 1 as a from t natural join u',
        () =>
          `select s.a from (select ${e()} as a, t as b from t, u) s where s.a = ${expression(1).replaceAll(/\b[tu]\b(\.\w+)?/g, 's.a')}`,
        () => `select s.${random.pick(functions)} as z from (select t.* from t) s`,
        () =>
          `select ${random.pick(operators)} s as a from (select 1) s`.replace(
            /select \S+ s/,
            () => `select s ${random.pick(operators)} ${expression(0).replaceAll(/\b[tu]\b(\.\w+)?/g, 's')}`,
          ),
        () =>
          `with c(id, name) as (select * from (select state, id from u) z) select c.${random.pick(['id', 'name'])} ${random.pick(operators)} ${expression(0).replaceAll(/\b[tu]\b(\.\w+)?/g, 'c.id')} as a from c`,
        () =>
          `select v.id as a from v where ${expression(1).replaceAll(/\b[tu]\b(\.\w+)?/g, random.pick(['v.id', 'v.name', 'v.state']))}`,
        () => `select t.${random.pick([...functions, 'id'])} as a from t`,
        () => `select ${e()} as a from t, u union select ${e()} from t, u`,
      ])();
    };
    let aims: { name: string; types: string[]; isOperator: boolean }[] = [];
    let [accepted, hostileOnes, reads] = [0, 0, 0];
    const wrong: string[] = [];
    for (let round = 0; round < size(8, 1_500); round++) {
      const wanted = Array.from({ length: 1 + Math.floor(random.between(0, 8)) }, definition);
      const made: string[][] = [];
      await client.query('begin');
      for (const texts of wanted) {
        await client.query('savepoint making');
        const isMade = await client.query(texts.join(';')).then(
          () => true,
          () => false,
        );
        if (isMade) made.push(texts);
        else await client.query('rollback to making');
      }
      await client.query('rollback');
      aims = made.flat().flatMap((text) => {
        const [, name, left = '', right = ''] =
          /^create operator (\S+) \(leftarg = (\S+), rightarg = (\S+),/.exec(text) ?? [];
        if (name !== undefined) return { name, types: [left, right], isOperator: true };
        const [, call = '', list = ''] = /^create function ([a-z]+)\(([^)]*)\)/.exec(text) ?? [];
        const taken = list
          .split(', ')
          .map((each) => each.replace(/^(?:variadic )?[ab] /, '').replace(' default null', ''));
        if (call !== '') return { name: call, types: taken, isOperator: false };
        const domain = /^create domain (\S+)/.exec(text)?.[1];
        return domain === undefined ? [] : { name: domain, types: ['text'], isOperator: false };
      });
      await having(made.flat(), async (judge) => {
        for (let i = 0; i < 30; i++) {
          const text = statement();
          const called = await chosen(text);
          if (called === undefined) continue;
          accepted++;
          const judgement = judge(text);
          if (judgement.class === 'read') reads++;
          if (called.length > 0) hostileOnes++;
          if (called.length > 0 && judgement.class === 'read')
            wrong.push(`${text}\n   calls ${called.join()}\n   of ${made.flat().join(';\n   ')}`);
        }
      });
    }
    report('namesakes', { accepted, 'calling one': hostileOnes, reads });
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(hostileOnes).toBeGreaterThan(10);
    expect(reads).toBeGreaterThan(40);
  });
});
