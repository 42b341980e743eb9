import { describe, expect, it } from 'vitest';
import type { TableChange } from '../../../src/change-source.js';
import { WakeIndex } from '../../../src/live/wake-index.js';

const fixed = (values: Record<string, string>) => new Map(Object.entries(values));
const row = (table: string, ...keys: string[][]): TableChange => ({ table, keyColumns: ['id'], keys });

function woken(index: WakeIndex<string>, ...changes: TableChange[]): string[] {
  const found = new Set<string>();
  index.concerned(changes, (query) => found.add(query));
  return [...found].sort();
}

describe('a change', () => {
  it('wakes those that depend on its table, and no others', () => {
    const index = new WakeIndex<string>();
    index.add('a', [{ table: 'public.items', fixed: undefined }]);
    index.add('b', [{ table: 'public.orders', fixed: undefined }]);
    index.add('bare', [{ table: 'items', fixed: undefined }]);
    expect(woken(index, row('public.items', ['1']))).toEqual(['a', 'bare']);
    expect(woken(index, row('public.rest', ['1']))).toEqual([]);
    expect(woken(index, row('shop.items', ['1']))).toEqual(['bare']);
  });

  it('wakes those that fix its key', () => {
    const index = new WakeIndex<string>();
    index.add('one', [{ table: 'public.items', fixed: fixed({ id: '1' }) }]);
    index.add('two', [{ table: 'public.items', fixed: fixed({ id: '2' }) }]);
    // The first one shows by which columns rows are told apart.
    expect(woken(index, row('public.items', ['3']))).toEqual(['one', 'two']);
    expect(woken(index, row('public.items', ['1']))).toEqual(['one']);
    index.add('late', [{ table: 'public.items', fixed: fixed({ id: '2', name: 'x' }) }]);
    expect(woken(index, row('public.items', ['2']))).toEqual(['late', 'two']);
    expect(woken(index, row('public.items', ['3']))).toEqual([]);
  });

  it('wakes all of its table where it may be of any row', () => {
    const index = new WakeIndex<string>();
    index.add('one', [{ table: 'public.items', fixed: fixed({ id: '1' }) }]);
    woken(index, row('public.items', ['3']));
    expect(woken(index, { table: 'public.items' })).toEqual(['one']);
  });

  it('wakes all of its table when rows are told apart by other columns, and those that do not fix these from then on', () => {
    const index = new WakeIndex<string>();
    index.add('one', [{ table: 'public.items', fixed: fixed({ id: '1' }) }]);
    woken(index, row('public.items', ['3']));
    const other: TableChange = { table: 'public.items', keyColumns: ['code'], keys: [['x']] };
    expect(woken(index, other)).toEqual(['one']);
    expect(woken(index, { ...other, keys: [['y']] })).toEqual(['one']);
  });

  it('wakes none that was removed', () => {
    const index = new WakeIndex<string>();
    const tables = [
      { table: 'public.items', fixed: fixed({ id: '1' }) },
      { table: 'public.orders', fixed: undefined },
    ];
    index.add('one', tables);
    woken(index, row('public.items', ['3']));
    index.remove('one', tables);
    expect(woken(index, row('public.items', ['1']), row('public.orders', ['1']), { table: 'public.items' })).toEqual(
      [],
    );
  });
});
