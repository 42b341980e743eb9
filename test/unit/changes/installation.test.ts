import { describe, expect, it } from 'vitest';
import { definitionsSql, publicationSql, removalSql } from '../../../src/changes/installation.js';
import { serverFindings } from '../../../src/changes/installation-check.js';
import type { ServerState } from '../../../src/changes/installation-state.js';
import { publicationFindings } from '../../../src/changes/table-check.js';
import { quotedIdentifier, tableNames } from '../../../src/changes/table-names.js';
import { parses } from '../../own-statements/unqualified.js';

describe('the names of tables on a command line', () => {
  it.each<[list: string, schema: string, name: string]>([
    ['products', 'public', 'products'],
    ['Products', 'public', 'Products'],
    ['shop.orders', 'shop', 'orders'],
    [' shop . orders ', 'shop', 'orders'],
    ['"a.b"."c,d"', 'a.b', 'c,d'],
    ['"say ""hi"""', 'public', 'say "hi"'],
    ["a'b; drop", 'public', "a'b; drop"],
    ['日本.表', '日本', '表'],
  ])('%s', (list, schema, name) => {
    expect(tableNames(list)).toEqual([{ schema, name }]);
  });

  it('are each taken once', () => {
    expect(tableNames('a,public.a,"a",b').map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it.each(['', ',', 'a,', ',a', 'a..b', 'a.b.c', '"a', 'a"b', '""', '.a', 'a.', 'x'.repeat(64), 'a\0b', '\ud800'])(
    'are no such list: %j',
    (list) => {
      expect(() => tableNames(list)).toThrow(RangeError);
    },
  );
});

describe('the SQL of the installation', () => {
  const hostile = tableNames(`"a""b;--'","Mixed Case".x,"two  spaces","\u202eup\n\\+1"`);

  it('is one statement each, marked as the library’s own, whatever the names are', () => {
    const found = { tables: [], hasAllOperations: false };
    const statements = [
      ...publicationSql('p"q', hostile),
      ...publicationSql('p"q', hostile, found),
      ...definitionsSql(),
      ...removalSql('p"q'),
    ];
    for (const text of statements) {
      expect(text).toMatch(/ \/\* pg-ladder \*\/$/);
      expect(text).not.toMatch(/[^\P{C}\n]/u);
      expect([text, parses(text)]).toEqual([text, true]);
    }
  });

  it('names each table, publishes every operation, and changes no replica identity', () => {
    const [text] = publicationSql('pg_ladder', hostile);
    expect(text).toContain(
      `for table "public"."a""b;--'", "Mixed Case"."x", "public"."two  spaces", "public".U&"\\+00202eup\\+00000a\\\\+1" with`,
    );
    expect(text).toContain("(publish = 'insert, update, delete, truncate')");
    const all = [...publicationSql('p', hostile), ...definitionsSql(), ...removalSql('p')].join('\n');
    expect(all).not.toMatch(/all tables|replica identity|alter table/i);
  });

  it('leaves no name to a search path', () => {
    const functions = definitionsSql().filter((text) => text.startsWith('create function'));
    expect(functions).toHaveLength(2);
    for (const text of functions) {
      expect(text).toContain('security definer set search_path = pg_catalog, pg_temp\n');
      const called = Array.from(text.matchAll(/([\w.]+)\(/g), ([, name]) => name);
      expect(called.filter((name) => !/^(pg_catalog\.|pgladder\.|exists$|all$|operator$)/.test(name ?? ''))).toEqual(
        [],
      );
    }
  });

  it('is nothing for a publication that has all of it', () => {
    expect(publicationSql('p', hostile, { tables: hostile, hasAllOperations: true })).toEqual([]);
  });

  it('quotes what looks like an escape', () => {
    expect(quotedIdentifier('a\\0041')).toBe('"a\\0041"');
    expect(quotedIdentifier('a\\0041\u0007"')).toBe('U&"a\\\\0041\\+000007"""');
  });
});

describe('what check finds', () => {
  const well: ServerState = {
    version: 180_004,
    inRecovery: false,
    walLevel: 'logical',
    effectiveWalLevel: null,
    role: 'app',
    mayReplicate: true,
    serviceRoles: [],
    slotsMax: 10,
    slotCount: 1,
    sendersMax: 10,
    senderCount: 1,
    slotKeepSize: 1_024,
    standbyFeedback: false,
    oldestWriteSeconds: null,
    oldestWritePid: null,
    hiddenWriteCount: 0,
    firesEventTriggers: true,
    triggers: { pg_ladder_definitions: 'A', pg_ladder_drops: 'A' },
    publication: null,
  };
  const found = (state: Partial<ServerState>) =>
    serverFindings({ ...well, ...state }).map(({ severity, check, mend }) => `${severity} ${check}: ${mend}`);

  it.each<[what: string, state: Partial<ServerState>, findings: string[]]>([
    ['nothing where all is well', {}, []],
    [
      'wal_level',
      { walLevel: 'replica' },
      ["error wal_level: alter system set wal_level = 'logical'; then restart the server"],
    ],
    ['a level that rises by itself', { version: 190_000, walLevel: 'replica', effectiveWalLevel: 'replica' }, []],
    [
      'a level that does not',
      { version: 190_000, walLevel: 'minimal', effectiveWalLevel: 'minimal' },
      ["error wal_level: alter system set wal_level = 'logical'; then restart the server"],
    ],
    [
      'wal_level and the right on RDS',
      { walLevel: 'replica', mayReplicate: false, serviceRoles: ['rds_superuser'] },
      [
        'error wal_level: set rds.logical_replication = 1 in the parameter group, and reboot',
        'error replication: grant rds_replication to "app"',
      ],
    ],
    [
      'wal_level on Cloud SQL',
      { walLevel: 'replica', serviceRoles: ['cloudsqlsuperuser'] },
      ['error wal_level: set the flag cloudsql.logical_decoding = on; it restarts the server'],
    ],
    ['the right', { mayReplicate: false, role: 'Mixed"' }, ['error replication: alter role "Mixed""" replication']],
    [
      'that there is no room',
      { slotCount: 10, senderCount: 10 },
      [
        'error max_replication_slots: alter system set max_replication_slots = 15; then restart the server',
        'error max_wal_senders: alter system set max_wal_senders = 15; then restart the server',
      ],
    ],
    [
      'a log without a bound',
      { slotKeepSize: -1 },
      ["warning max_slot_wal_keep_size: alter system set max_slot_wal_keep_size = '10GB'; select pg_reload_conf()"],
    ],
    ['no young transaction', { oldestWriteSeconds: 4, oldestWritePid: 7 }, []],
    [
      'an old transaction',
      { oldestWriteSeconds: 5, oldestWritePid: 7 },
      ['warning old_transaction: end it: select pg_terminate_backend(7)'],
    ],
    [
      'an old prepared transaction',
      { oldestWriteSeconds: 5 },
      ['warning old_transaction: commit prepared or rollback prepared it (pg_prepared_xacts)'],
    ],
    [
      'transactions whose age is hidden',
      { hiddenWriteCount: 2 },
      ['warning old_transaction: grant pg_read_all_stats to "app", or check as another role'],
    ],
    [
      'that event triggers are off',
      { firesEventTriggers: false },
      ['warning event_triggers: alter system set event_triggers = on; select pg_reload_conf()'],
    ],
    [
      'a standby that is too old',
      { inRecovery: true, version: 150_000 },
      ['error standby: take the primary, or upgrade to PostgreSQL 16'],
    ],
    [
      'a standby without feedback',
      { inRecovery: true },
      ['error hot_standby_feedback: alter system set hot_standby_feedback = on; select pg_reload_conf()'],
    ],
  ])('%s', (_, state, findings) => {
    expect(found(state)).toEqual(findings);
  });

  it('names the command that makes a publication, as a shell takes it', () => {
    const [finding] = publicationFindings(
      "it's",
      { publication: null },
      [{ schema: 'public', name: 'a.b', members: [] }],
      new Set(),
    );
    expect(finding?.mend).toBe(`pg-ladder changes install --tables 'public."a.b"' --publication 'it'\\''s'`);
  });
});
