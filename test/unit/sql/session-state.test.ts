import { beforeAll, describe, expect, it } from 'vitest';
import { Grammar } from '../../../src/sql/grammar.js';
import { type Effect, isNeutral, SessionState } from '../../../src/sql/session-state.js';
import { factsOf } from '../../../src/sql/walk.js';

describe('what is left on a connection', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });
  const effectsOf = (text: string): readonly Effect[] => factsOf(grammar.parse(text)).effects;

  /** Runs texts as PostgreSQL would; one that ends in `!` fails. */
  function holdsAfter(texts: readonly string[], reported: readonly string[] = []): boolean {
    const state = new SessionState();
    let isOpen = false;
    for (const given of texts) {
      const hasFailed = given.endsWith('!');
      const text = given.replace(/!$/, '');
      const { effects, statementCount } = factsOf(grammar.parse(text));
      const [word = ''] = text.toUpperCase().split(/[ ;]/);
      const isEnd = /^(commit|rollback)(?!.*\b(to|chain)\b)/i.test(text);
      isOpen = statementCount === 1 && (word === 'BEGIN' || (isOpen && !isEnd));
      state.ran(effects, { isSingle: statementCount === 1, hasFailed, isOpen, command: word });
    }
    return state.holds((name) => reported.includes(name));
  }

  it.each([
    [`set names 'UTF8'`],
    ['set search_path = a, b'],
    [`set time zone interval '1 hour' hour to minute`],
    [`set role reader`],
    [`set session authorization reader`],
    ['set session characteristics as transaction isolation level serializable'],
    [`select set_config('app.who', 'ada', false)`],
    [`select set_config($1, $2, $3)`],
    [`select set_config('statement_timeout', '1', false), set_config('app.who', 'ada', false)`],
    ['create temp table mine (v int)'],
    ['select 1 as v into temp mine'],
    [`load 'age'`],
    ['set app.who = 1; select 1'],
  ])('%s stays', (text) => {
    expect(holdsAfter([text])).toBe(true);
    expect(holdsAfter(['begin', text, 'commit'])).toBe(true);
  });

  it.each([
    ['set application_name = a'],
    [`set statement_timeout to '1s'`],
    ['set Lock_Timeout = 1'],
    ['set local search_path = a'],
    ['set transaction read only'],
    [`select set_config('app.who', 'ada', true)`],
    [`select set_config('application_name', 'ada', false)`],
    ['create temp table mine on commit drop as select 1'],
    ['reset all'],
    ['discard plans'],
    ['select 1'],
  ])('%s leaves nothing that reads go by', (text) => {
    expect(holdsAfter([text])).toBe(false);
  });

  it.each([
    [['set app.who = 1', 'reset app.who']],
    [['set App.Who = 1', 'set app.who to default']],
    [['set role reader', 'set role none']],
    [['set role reader', 'reset role']],
    [['set app.who = 1', 'reset all']],
    [['set app.who = 1', 'reset all; select pg_advisory_unlock_all()']],
    [['set role reader', 'create temp table mine (v int)', 'discard all']],
    [['create temp table mine (v int)', 'discard temp']],
    [[`select set_config($1, $2, false)`, 'discard all']],
    [['begin', 'set app.who = 1', 'rollback']],
    [['begin', 'set app.who = 1', 'select broken!', 'rollback']],
    [['set app.who = 1!']],
    [['select 1; set app.who = 1!']],
    [['set app.who = 1', 'begin', 'reset app.who', 'commit']],
  ])('%j sets it free', (texts) => {
    expect(holdsAfter(texts)).toBe(false);
  });

  it.each([
    [['set role reader', 'reset all']],
    [['set app.who = 1', 'reset app.other']],
    [[`load 'age'`, 'discard all']],
    [['set app.who = 1', 'begin', 'reset app.who', 'rollback']],
    [['begin', 'set app.who = 1', 'savepoint s', 'reset app.who', 'rollback to s', 'commit']],
    [['begin', 'set app.who = 1', 'commit and chain', 'select 1', 'rollback']],
    [['begin; set app.who = 1; commit; select broken!']],
    [['set app.who = 1', 'begin; reset app.who; rollback']],
  ])('%j does not set it free', (texts) => {
    expect(holdsAfter(texts)).toBe(true);
  });

  it('believes the server, where that reports what a setting is', () => {
    expect(holdsAfter([`set names 'UTF8'`], ['client_encoding'])).toBe(false);
    expect(holdsAfter([`set names 'UTF8'`, 'set app.who = 1'], ['client_encoding'])).toBe(true);
  });

  it('calls neutral what only says who asks, and how long it may take', () => {
    expect(isNeutral(effectsOf('set application_name = a; set statement_timeout = 1'))).toBe(true);
    expect(isNeutral(effectsOf('set application_name = a; set search_path = a'))).toBe(false);
    expect(isNeutral(effectsOf('begin; set statement_timeout = 1'))).toBe(false);
    expect(isNeutral(effectsOf('select 1'))).toBe(false);
  });
});
