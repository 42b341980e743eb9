import { describe, expect, it } from 'vitest';
import { definesSomething, endsTransaction, openingOf } from '../../../src/sql/statement-start.js';

describe('a text that is not parsed', () => {
  it.each([
    'create table t ()',
    '  Drop view v',
    '-- a\n/* b /* c */ d */ alter table t add c int',
    'select 1; do $$ begin end $$',
    'insert into t values (1);\n--;\n/*;*/ GRANT select on t to r',
    "insert into t values (';/*'); create table u ()",
  ])('%s changes what the catalogue says', (text) => {
    expect(definesSomething(text)).toBe(true);
  });

  it.each([
    '',
    'select 1',
    'select created from t',
    '-- create table t ()',
    '/* ; create */ select 1; ; --',
    'done',
    'insert into t values (1);',
  ])('%s does not', (text) => {
    expect(definesSomething(text)).toBe(false);
  });

  it('is known by its first words behind white space and comments, however many', () => {
    expect(openingOf(' \n/* a * b */ -- c\n select 1')).toBe('select 1');
    expect(openingOf(`${'/**/ --\n'.repeat(1_000_000)}select 1`)).toBe('select 1');
    expect(openingOf('/* open select 1')).toBe('');
  });
});

describe('a statement in a transaction', () => {
  it.each([
    'commit',
    ' END;',
    'abort',
    'ROLLBACK',
    'rollback work',
    'rollback and chain',
    'commit prepared $$a$$',
    "prepare transaction 'a'",
    'prepare /* a */ transaction $$a$$',
    `prepare${' '.repeat(100)}transaction $$a$$`,
    '/* now */ -- and here\ncommit',
    'select 1; commit; begin',
    "select ';'; commit",
    "select '/*'; commit",
  ])('%s may end it', (text) => {
    expect(endsTransaction(text)).toBe(true);
  });

  it.each([
    'select 1',
    'rollback to a',
    'ROLLBACK TO SAVEPOINT a',
    'rollback work to a',
    'rollback transaction to savepoint a',
    'prepare a as select 1',
    'savepoint a; release a',
    'select case when true then 1 end',
    'committed',
    '-- commit',
    '/* ; commit */ select 1',
  ])('%s does not', (text) => {
    expect(endsTransaction(text)).toBe(false);
  });
});
