/** What a pool's client keeps: the texts behind names, what was left on its connection, and whose turn it is. */
import { describe, expect, it } from 'vitest';
import { NamedTexts } from '../../../src/pool/named-texts.js';
import { SettingsLeft } from '../../../src/pool/settings-left.js';
import { Turns } from '../../../src/pool/turns.js';
import { preparedQuery } from '../../../src/postgres/prepared-query.js';

describe('a prepared statement that is run by its name alone', () => {
  const config = (over: object) => preparedQuery(over as never);

  it('has the text that was said with the name last', () => {
    const texts = new NamedTexts();
    texts.complete(config({ name: 'a', text: 'select 1' }));
    expect(texts.complete(config({ name: 'a', values: [1] }))).toEqual({ name: 'a', values: [1], text: 'select 1' });
    texts.complete(config({ name: 'a', text: 'select 2' }));
    expect(texts.complete(config({ name: 'a' }))).toMatchObject({ text: 'select 2' });
  });

  it('has none when nobody has said it, and every other statement stays as it is', () => {
    const texts = new NamedTexts();
    for (const query of [config({ name: 'a' }), config({ text: 'select 1' }), 'select 1' as const])
      expect(texts.complete(query as never)).toBe(query);
  });

  it('of names without end only the first thousand are kept', () => {
    const texts = new NamedTexts();
    for (let i = 0; i <= 1_000; i++) texts.complete(config({ name: `n${i}`, text: 'select 1' }));
    expect(texts.complete(config({ name: 'n999' }))).toMatchObject({ text: 'select 1' });
    expect(texts.complete(config({ name: 'n1000' }))).not.toHaveProperty('text');
  });
});

describe('what was left on a connection', () => {
  const found = (kind: string, name?: string) => ({ effects: [{ kind, name }], isSingle: true }) as never;
  const OVER = { hasFailed: false, isOpen: false, command: 'SET' };

  it('holds later reads to it, until it is taken back', () => {
    const left = new SettingsLeft(new Map());
    left.before();
    expect(left.ran(found('set', 'search_path'), OVER)).toBe(true);
    expect(left.hold).toBe(true);
    left.ran(found('reset', 'search_path'), { ...OVER, command: 'RESET' });
    expect(left.hold).toBe(false);
  });

  it('does not where the server says that it is as it was at first', () => {
    const reported = new Map([['timezone', 'UTC']]);
    const left = new SettingsLeft(reported);
    left.before();
    reported.set('timezone', 'Europe/Vienna');
    left.ran(found('set', 'timezone'), OVER);
    expect(left.hold).toBe(true);
    left.before();
    reported.set('timezone', 'UTC');
    left.ran(found('set', 'timezone'), OVER);
    expect(left.hold).toBe(false);
  });

  it('may be anything after a statement that nobody knows, and is nothing once forgotten', () => {
    const left = new SettingsLeft(new Map());
    left.ran(undefined, OVER);
    expect(left.hold).toBe(true);
    left.forget();
    expect(left.hold).toBe(false);
  });

  it('is nothing after a statement without effects outside a transaction', () => {
    const left = new SettingsLeft(new Map());
    expect(left.ran({ effects: [], isSingle: true } as never, { ...OVER, command: 'SELECT' })).toBe(false);
    expect(left.hold).toBe(false);
  });
});

describe('the statements of a client', () => {
  it('run at once, until one waits for something elsewhere: those behind it wait, in their order', () => {
    const turns = new Turns();
    const ran: string[] = [];
    let over = (): void => undefined;
    const waits = (name: string) => (done: () => void) => {
      ran.push(name);
      over = done;
      return true;
    };
    const passes = (name: string) => () => {
      ran.push(name);
      return false;
    };
    turns.take(passes('a'));
    turns.take(waits('b'));
    turns.take(passes('c'));
    turns.take(waits('d'));
    expect([ran, turns.isIdle]).toEqual([['a', 'b'], false]);
    let idleCount = 0;
    turns.whenIdle(() => idleCount++);
    over();
    expect([ran, idleCount]).toEqual([['a', 'b', 'c', 'd'], 0]);
    over();
    expect([turns.isIdle, idleCount]).toEqual([true, 1]);
    turns.whenIdle(() => idleCount++);
    expect(idleCount).toBe(2);
  });

  it('do not pile up on the stack, however many wait', () => {
    const turns = new Turns();
    let over = (): void => undefined;
    let count = 0;
    turns.take((done) => {
      over = done;
      return true;
    });
    for (let i = 0; i < 10_000; i++)
      turns.take(() => {
        count++;
        return false;
      });
    over();
    expect([count, turns.isIdle]).toEqual([10_000, true]);
  });
});
