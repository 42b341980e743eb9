// Which tables show each other's rows.
import { describe, expect, it } from 'vitest';
import type { RelationRow, ResolutionRow } from '../../../src/sql/catalog-rows.js';
import { Families } from '../../../src/sql/families.js';

const relation = (name: string, rowType: string, kind = 'r') => ({ name, rowType, kind }) as RelationRow;
const families = (relations: readonly RelationRow[], kin: readonly string[]) =>
  new Families({ relations, resolution: { kin } as ResolutionRow });

describe('a family of tables', () => {
  const tables = [
    relation('events', '10', 'p'),
    relation('events_1', '11', 'p'),
    relation('events_1a', '12'),
    relation('events_2', '13'),
    relation('users', '14'),
    relation('a', '15'),
    relation('b', '16'),
    relation('both', '17'),
  ];
  const all = families(tables, ['11 10', '12 11', '13 10', '17 15', '17 16', '14 23 id', '14 23', '99 10']);

  it('has one name for a parent and all of its partitions, however deep', () => {
    const names = ['events', 'events_1', 'events_1a', 'events_2'].map((name) => all.of(name));
    expect(new Set(names).size).toBe(1);
    expect(all.of('users')).toBe('users');
  });

  it('is one for two parents with a child in common', () => {
    expect(all.of('a')).toBe(all.of('b'));
    expect(all.of('both')).toBe(all.of('a'));
    expect(all.of('a')).not.toBe(all.of('events'));
  });

  it('is the table itself where nothing is known of it', () => {
    expect(all.of('elsewhere')).toBe('elsewhere');
  });
});
