/**
 * What people have found, as programs: each says the right value, which is bare pg's. One whose
 * fault has a line in `notYetMended` (switches.ts) fails, and is expected to: when it is mended,
 * the line goes.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { printFind } from './fuzz.js';
import { LadderWorld } from './ladder-world.js';
import { play } from './play.js';
import { ProcessWatch } from './process-watch.js';
import type { Program, Setup, Statement, Step, Value, Way } from './program.js';
import { type Pair, Servers } from './servers.js';
import { notYetMended } from './switches.js';

let servers: Servers;
let watch: ProcessWatch;

beforeAll(async () => {
  servers = await Servers.start();
  watch = new ProcessWatch();
});
afterAll(async () => {
  watch.end();
  await servers[Symbol.asyncDispose]();
});

const PLAIN: Setup = { lane: true, namedStatements: true, isInSession: true, driver: 'plain' };

function value(made: unknown): Value {
  return { code: JSON.stringify(made), make: () => made };
}

function statement(text: string, values?: readonly unknown[], form: Statement['form'] = 'args'): Statement {
  return { text, form, ...(values === undefined ? {} : { values: values.map(value) }) };
}

function run(way: Way, text: string, values?: readonly unknown[], form?: Statement['form']): Step {
  return { kind: 'run', way, statement: statement(text, values, form) };
}

function on(text: string): Step {
  return { kind: 'on', actor: 0, statement: statement(text) };
}

function times(count: number, ...steps: Step[]): Step[] {
  return Array.from({ length: count }, () => steps).flat();
}

function program(steps: readonly Step[], setup: Partial<Setup> = {}): Program {
  return { seed: 0, setup: { ...PLAIN, ...setup }, steps };
}

/** One after the other: what ends the process ends it for all that runs at the time. */
async function differenceOf(pair: Pair, played: Program): Promise<string> {
  const { difference } = await play(pair, watch, played);
  return difference === undefined ? '' : printFind({ program: played, difference, isRepeatable: true });
}

function faults(number: number, what: string, programs: Readonly<Record<string, Program>>): void {
  const isKnown = notYetMended.some((fault) => fault.number === number);
  describe(what, () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await servers.pair();
    });
    for (const [name, played] of Object.entries(programs)) {
      (isKnown ? it.fails : it)(name, async () => {
        expect(await differenceOf(pair, played)).toBe('');
      });
    }
  });
}

/** Those that wait for changes to be noticed, all at once. */
function migrations(number: number, what: string, programs: Readonly<Record<string, Program>>): void {
  const isKnown = notYetMended.some((fault) => fault.number === number);
  describe(what, () => {
    const differences = new Map<string, string>();
    beforeAll(async () => {
      const played = Object.entries(programs);
      const pairs: Pair[] = [];
      for (const _ of played) pairs.push(await servers.pair());
      await Promise.all(
        played.map(async ([name, one], i) => differences.set(name, await differenceOf(pairs[i] as Pair, one))),
      );
    });
    for (const name of Object.keys(programs)) {
      (isKnown ? it.fails : it)(name, () => expect(differences.get(name)).toBe(''));
    }
  });
}

const settle: Step = { kind: 'settle' };
const foreign = (text: string): Step => ({ kind: 'foreign', text });
const TO_TIMESTAMPTZ = "alter table items alter at type timestamptz using at at time zone 'utc'";
const REPLACED_KIND = `alter type kind rename to kind_before; create type kind as enum ('a', 'b', 'c', 'd');
  alter table items alter kind type kind using kind::text::kind; drop type kind_before`;

const byMoment = run('query', 'select id from items where at = $1 order by id', ['2020-01-01T05:00:00+01:00']);
const setMoment = run('write', 'update items set at = $1 where id = $2', ['2020-01-01T00:00:00+05:00', 3]);
const setSmall = run('write', 'update items set small = $1 where id = 3', [5_000_000_000]);
const bySmall = run('query', 'select id from items where small < $1 order by id', [5_000_000_000]);
const byKind = run('write', "update items set name = 'of a kind' where kind = $1", ['a']);
const notes = run('query', 'select * from notes where item_id = $1 order by id', [3]);

/** A text is named when it comes again; without a lane it always meets the same connection. */
const alone = (steps: readonly Step[]): Program => program(steps, { lane: false });
const shared = (step: Step): Step => ({ kind: 'share', statement: (step as Extract<Step, { kind: 'run' }>).statement });

migrations(1, 'a change of types by somebody else is noticed by texts that come again', {
  'a timestamp that has become a timestamptz is found as without a name': alone([
    ...times(3, byMoment),
    foreign(TO_TIMESTAMPTZ),
    settle,
    byMoment,
  ]),
  'a moment is stored as without a name': alone([...times(3, setMoment), foreign(TO_TIMESTAMPTZ), settle, setMoment]),
  'an int that has become a bigint takes what a bigint takes': alone([
    ...times(3, run('write', 'update items set small = $1 where id = 3', [5])),
    foreign('alter table items alter small type bigint'),
    settle,
    setSmall,
  ]),
  'an int that has become a bigint is compared as one': alone([
    ...times(3, run('query', 'select id from items where small < $1 order by id', [5])),
    foreign('alter table items alter small type bigint'),
    settle,
    bySmall,
  ]),
  'an enum that was replaced is found by its new values': alone([
    ...times(3, byKind),
    foreign(REPLACED_KIND),
    settle,
    byKind,
  ]),
  'a timestamp that has become a timestamptz is found on shared connections': program([
    shared(byMoment),
    foreign(TO_TIMESTAMPTZ),
    settle,
    ...times(2, byMoment),
  ]),
  'a table that was replaced is told by its own number in `fields`': program([
    notes,
    shared(notes),
    foreign('drop table notes; create table notes (id serial primary key, item_id int, body text not null)'),
    settle,
    ...times(2, notes),
  ]),
});

faults(2, 'pg before 8.23, which tells no transaction status', {
  'a client that has ended BEGIN READ ONLY reads its own writes': program(
    [
      { kind: 'take', actor: 0, intent: 'auto' },
      on('begin read only'),
      on('select count(*) from notes'),
      on('commit'),
      on("insert into notes (item_id, body) values (1, 'after a read-only transaction')"),
      on('select max(id) from notes'),
      { kind: 'release', actor: 0, isBroken: false },
    ],
    { driver: 'without status' },
  ),
  'a client that is released inside a transaction is handed on to nobody': program(
    [
      { kind: 'take', actor: 0, intent: 'auto' },
      on('begin'),
      on("insert into notes (item_id, body) values (1, 'left open')"),
      { kind: 'release', actor: 0, isBroken: false },
      run('pool:auto', "insert into notes (item_id, body) values (2, 'of somebody else')"),
    ],
    { driver: 'without status' },
  ),
});

const READ = 'select name from items where id = $1';
const WRITE = 'update items set name = $1 where id = 3';

faults(3, 'query objects that cannot be written to', {
  'a frozen one is answered whenever its text comes again': program(times(3, run('read', READ, [3], 'frozen'))),
  'a frozen one that writes is answered whenever its text comes again': program(
    times(3, run('write', WRITE, ['x'], 'frozen')),
  ),
  'a class with getters is answered whenever its text comes again': program(
    times(3, run('query', READ, [3], 'getters')),
  ),
  'a class with private fields is answered': program(times(3, run('write', WRITE, ['x'], 'private getters'))),
  'read-only properties are no hindrance': program(times(3, run('write', WRITE, ['x'], 'read-only'))),
  'a getter that throws is a rejection, and its connection comes back': program([
    ...times(2, run('write', WRITE, ['x'])),
    run('write', WRITE, ['x'], 'throwing getter'),
    run('write', WRITE, ['y']),
  ]),
});

const openTransaction = "begin; insert into notes (item_id, body) values (1, 'left open')";
const failing = "begin; insert into notes (item_id, body) values (1, 'poison'); select 1 / 0; commit";
const other = (way: Way): Step => run(way, "insert into notes (item_id, body) values (2, 'of somebody else')");

faults(4, 'texts of several statements that do not end their transaction', {
  'one that fails within leaves nothing to the next statement of somebody else': program([
    run('write', failing),
    other('write'),
  ]),
  'one that leaves its transaction open takes nobody else’s write with it': program([
    run('write', openTransaction),
    other('write'),
  ]),
  'the same through `query`': program([run('query', openTransaction), other('query')]),
  'one that is left open on a replica does not keep later reads in the past': program(
    [
      run('read', 'begin isolation level repeatable read; select count(*) from notes'),
      other('write'),
      run('read', 'select max(id) from notes'),
    ],
    { lane: false },
  ),
});

const raise = (way: Way, state: string): Step =>
  run(way, way === 'write' || way === 'pool:write' ? 'select note_then_fail(1, $1)' : "select peek($1, 'raised')", [
    state,
  ]);

faults(5, 'errors of statements that look like a lost connection', {
  'a write that raises EMAIL fails with that': program([raise('write', 'EMAIL')]),
  'a write that raises 08006 fails with that': program([raise('write', '08006')]),
  'a write that raises 57P01 fails with that': program([raise('write', '57P01')]),
  'a write with a wrong number of values fails with 08P01': program([
    run('write', 'update items set name = $1 where id = 1', ['x', 'y']),
  ]),
  'all the same where the server speaks German': program([raise('write', 'EMAIL')], { driver: 'localised' }),
  'an aborted transaction’s 25P02, raised by a statement, is that statement’s': program([raise('write', '25P03')]),
});

faults(7, 'drivers that rewrite what they are given', {
  'values stay in `read`': program(times(3, run('read', READ, [3], 'config')), { driver: 'rewriting' }),
  'values stay in a transaction': program(
    [
      {
        kind: 'transaction',
        options: {},
        body: [{ kind: 'inner', by: 'write', statement: statement(WRITE, ['x'], 'config'), isCaught: false }],
        ending: 'return',
      },
    ],
    { driver: 'rewriting' },
  ),
  'values stay on a client of a pool': program(
    [
      { kind: 'take', actor: 0, intent: 'auto' },
      { kind: 'on', actor: 0, statement: statement(WRITE, ['x'], 'config') },
      { kind: 'release', actor: 0, isBroken: false },
    ],
    { driver: 'rewriting' },
  ),
});

faults(13, 'transactions by single statements of a pool', {
  'with `intent: write` a ROLLBACK takes back what came between': program([
    run('pool:write', 'begin'),
    run('pool:write', "insert into notes (item_id, body) values (1, 'taken back')"),
    run('pool:write', 'rollback'),
  ]),
  'a client that is released in a transaction is handed on with it, as by pg': program([
    { kind: 'take', actor: 0, intent: 'write' },
    on('begin'),
    on("insert into notes (item_id, body) values (1, 'kept')"),
    { kind: 'release', actor: 0, isBroken: false },
    { kind: 'take', actor: 0, intent: 'write' },
    on('commit'),
    { kind: 'release', actor: 0, isBroken: false },
  ]),
});

faults(16, 'COPY TO STDOUT where a name was given up before', {
  'a copy is streamed to its end where a text had failed under its name': program(
    [
      // It is known by then what only reads.
      ...times(2, run('query', 'select count(*) from items')),
      ...times(2, run('read', 'select 1 / (id - $1) from items', [3])),
      { kind: 'take', actor: 0, intent: 'auto' },
      {
        kind: 'on',
        actor: 0,
        statement: { text: 'copy (select id, name from items order by id) to stdout', form: 'copy out' },
      },
      { kind: 'release', actor: 0, isBroken: false },
    ],
    { lane: false },
  ),
});

describe('a setting that changes no answer', () => {
  const isKnown = notYetMended.some(({ number }) => number === 12);
  (isKnown ? it.fails : it)('keeps no reads of its pool from replicas', async () => {
    const { ladder } = await servers.pair();
    await ladder.reset(true);
    const world = await LadderWorld.open(ladder.primary, ladder.replica, PLAIN);
    const pool = world.pool('auto');
    const read = () => pool.query('select count(*) from items');
    const onReplica = () => world.cluster.stats().nodes[1]?.statementCount ?? 0;
    // The catalogue is read first.
    await vi.waitFor(
      async () => {
        await read();
        expect(onReplica()).toBeGreaterThan(0);
      },
      { timeout: 20_000, interval: 20 },
    );
    const client = await pool.connect();
    await client.query("set names 'UTF8'");
    client.release();
    const before = onReplica();
    for (let i = 0; i < 20; i++) await read();
    const count = onReplica() - before;
    await world.close();
    expect(count).toBeGreaterThan(10);
  });
});
