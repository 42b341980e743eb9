import { loadModule, parseSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';
import { readable } from '../../../src/sql/readable.js';
import { factsOf } from '../../../src/sql/walk.js';
import { Random } from '../../simulation/random.js';
import { hostileTexts } from './hostile-texts.js';

const list = (count: number, one: (i: number) => string, separator = ', ') =>
  Array.from({ length: count }, (_, i) => one(i)).join(separator);

describe('what the grammar is given to read', () => {
  it('is the text itself where that is not long', () => {
    for (const text of ['', 'select 1', "select 'a' -- b", `select ${list(700, String)}`])
      expect(readable(text) === text).toBe(true);
  });

  it('is nothing where the text is too long, has too many parts or is nested too deeply', () => {
    expect(readable(`select '${'a'.repeat(100_000)}'`)).toBeDefined();
    expect(readable(`select '${'a'.repeat(140_000)}'`)).toBeUndefined();
    expect(readable(`select 1 in (${list(400_000, String)})`)).toBeUndefined();
    expect(readable(`select ${list(4_000, () => 'a')}`)).toBeDefined();
    expect(readable(`select ${list(6_000, () => 'a')}`)).toBeUndefined();
    for (const [one, many] of [
      [`select ${'('.repeat(300)}1${')'.repeat(300)}`, `select ${'('.repeat(600)}1${')'.repeat(600)}`],
      [`select ${list(200, () => 'a', '+')}`, `select ${list(600, () => 'a', '+')}`],
      [`select ${list(200, () => 'select 1, 2', ' union ')}`, `select ${list(600, () => 'select 1, 2', ' union ')}`],
    ] as const) {
      expect(readable(one)).toBe(one);
      expect(readable(many)).toBeUndefined();
    }
  });

  it('is not taken for deep where much stands side by side', () => {
    const conditions = list(500, (i) => `(a = $${2 * i + 1} and b = $${2 * i + 2})`, ' or ');
    const joins = list(60, (i) => `left join t${i} on t${i}.id = t.id and t${i}.deleted_at is null`, ' ');
    const branches = list(60, (i) => `select a, b, 'x' as kind from t${i} where a > 1 and b < 2`, ' union all ');
    const text = `select ${list(300, (i) => `coalesce(t.c${i}, 0) as c${i}`)} from t ${joins} where ${conditions}`;
    expect(readable(text) === text).toBe(true);
    expect(readable(branches) === branches).toBe(true);
  });

  it('keeps the beginning and the end of a long list of constants, whatever their kind', () => {
    const kinds: ((i: number) => string)[] = [
      String,
      (i) => `-${i}`,
      (i) => String(3_000_000_000 + i),
      (i) => `'it''s ${i}, -- /* $$'`,
      (i) => `$${i + 1}`,
    ];
    for (const kind of kinds) {
      const text = `select * from t where a in (${list(30_000, kind, ' ,\n')}) and b = nextval('s')`;
      const read = readable(text);
      expect(read?.length).toBeLessThan(5_000);
      expect(read).toContain(`(${kind(0)} ,`);
      expect(read).toContain(`${kind(29_999)}) and b = nextval('s')`);
    }
  });

  it('leaves nothing out that is not a constant in a list of its like', () => {
    const middles = [
      'nextval(1)',
      '1 + 1',
      "'a'::mine",
      'a',
      '(1)',
      "e'\\''",
      '1.5',
      "date '1'",
      '"1"',
      '99999999999',
      '2999999999',
    ];
    for (const middle of middles) {
      const text = `select a in (${list(2_000, String)}, ${middle}, ${list(2_000, String)})`;
      expect(readable(text), middle).toContain(`, ${middle},`);
    }
  });

  it('ends where the server stops reading, at a zero byte', () => {
    const text = `select ${list(2_000, String)}\0 ${'('.repeat(2_000)}`;
    expect(readable(text)).toMatch(/^select 0, .*1999$/s);
  });

  it('takes a time in proportion to the length for every kind of text', () => {
    const startedAt = process.cpuUsage();
    for (const [, text] of hostileTexts(1_000_000)) readable(text);
    const { user, system } = process.cpuUsage(startedAt);
    // Some 20 ms each; what grew with the square would take minutes.
    expect((user + system) / 1_000_000).toBeLessThan(60);
  });
});

describe('an abridged text', () => {
  beforeAll(loadModule);

  const factsIn = (text: string) => {
    try {
      const facts = factsOf((parseSync(text).stmts ?? []).map(({ stmt }) => stmt));
      const { isDetached, isAttached, comparesUnnamed } = facts;
      // No function takes more than a hundred arguments.
      const calls = facts.calls.map(({ operands, ...call }) => ({
        ...call,
        argCount: Math.min(call.argCount ?? 0, 101),
        operands: operands?.slice(0, 101),
      }));
      return { ...facts, calls, isDetached, isAttached, comparesUnnamed };
    } catch {
      return undefined;
    }
  };

  it('says the same as the whole text, by the grammar that reads both', () => {
    const random = new Random(17);
    const inside = [
      "'",
      "''",
      'a',
      '\\',
      '--',
      '/*',
      '*/',
      '$$',
      '$a$',
      '"',
      ',',
      '\n',
      "'\n'",
      'nextval(1)',
      '(',
      ')',
      ' ',
      'e',
      '1',
    ];
    const some = () => Array.from({ length: Math.floor(random.between(0, 6)) }, () => random.pick(inside)).join('');
    const separator = () => random.pick([',', ', ', ' ,\n']);
    const piece = (): string =>
      random.pick([
        () => list(135, String, separator()),
        () => list(135, (i) => `-${i}`, separator()),
        () => list(135, (i) => `'${i}'''`, separator()),
        () => list(135, (i) => `$${i + 1}`, separator()),
        () => list(135, (i) => String(3_000_000_000 + i), separator()),
        () => `'${some()}'`,
        () => `e'${some()}'`,
        () => `e'a'\n'${some()}'`,
        () => `u&'${some()}'`,
        () => `"${some()}"`,
        () => `$$${some()}$$`,
        () => `$a$${some()}$a$`,
        () => `ae'${some()}'`,
        () => "e'\\''",
        () => 'a',
        () => '1.5',
        () => "'x'::mine",
      ])();
    const comment = () => random.pick([() => ' ', () => `/*${some()}*/`, () => `--${some()}\n`])();
    const expression = (depth: number): string => {
      if (depth === 0 || random.chance(0.3)) return piece();
      const [a, b] = [expression(depth - 1), expression(depth - 1)];
      return random.pick([`f(${a})`, `${a} + ${b}`, `(${a}, ${b})`, `a in (${a})`, `${a} ${comment()} and ${b}`]);
    };
    let abridgedCount = 0;
    let comparedCount = 0;
    for (let i = 0; i < 700; i++) {
      const pad = `/* ${'x'.repeat(4_000)} */`;
      const loose = Array.from({ length: Math.floor(random.between(1, 8)) }, () => piece() + comment()).join(',');
      const body = `select ${random.chance(0.5) ? expression(3) : loose}`;
      const text = random.chance(0.5) ? pad + body : body + pad;
      const whole = factsIn(text);
      const read = readable(text);
      if (whole === undefined || read === undefined) continue;
      comparedCount++;
      if (read !== text) abridgedCount++;
      expect(factsIn(read), body).toEqual(whole);
    }
    expect(comparedCount).toBeGreaterThan(100);
    expect(abridgedCount).toBeGreaterThan(100);
  });
});
