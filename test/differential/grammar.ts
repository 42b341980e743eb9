/**
 * Draws programs. It keeps in mind who may be in a transaction, so that nobody waits for another's
 * lock, and what may be left on a connection, so that both worlds find the same. Whatever it takes
 * for granted beyond that is said beside it.
 */
import { Random } from '../simulation/random.js';
import type { Ending, Inner, Intent, Program, Setup, Statement, Step, Way } from './program.js';
import { type Migration, OTHER_CHANGES, Statements, TYPE_CHANGES } from './statements.js';
import type { Switch } from './switches.js';

interface Actor {
  readonly intent: Intent;
  /** What may be open: a transaction of its own, or one on a replica. */
  mayBeIn: 'nothing' | 'transaction' | 'read-only transaction';
  holdsState: boolean;
  listens: boolean;
  isGone: boolean;
}

const READING_WAYS: readonly Way[] = [
  'read',
  'read',
  'query',
  'query',
  'query',
  'pool:auto',
  'pool:auto',
  'pool:write',
  'pool:read',
];
const WRITING_WAYS: readonly Way[] = ['write', 'write', 'query', 'query', 'pool:auto', 'pool:auto', 'pool:write'];
const ACTOR_COUNT = 3;
const MAX_MIGRATIONS = 3;
const INSERT = "insert into notes (body) values ('beside a transaction') returning id";

/** @param length of about how many steps */
export function drawProgram(seed: number, switches: ReadonlySet<Switch>, length: number): Program {
  return new Drawing(seed, switches).draw(length);
}

class Drawing {
  readonly #seed: number;
  readonly #random: Random;
  readonly #switches: ReadonlySet<Switch>;
  readonly #statements: Statements;
  readonly #steps: Step[] = [];
  readonly #actors = new Map<number, Actor>();
  /**
   * One thing at a time, so that pools of both worlds hand out the same connections and something
   * may be left on them.
   */
  readonly #isSolo: boolean;
  readonly #migrates: boolean;
  #migrationCount = 0;
  readonly #changed = new Set<Migration>();
  #hasNames = false;

  constructor(seed: number, switches: ReadonlySet<Switch>) {
    this.#seed = seed;
    this.#random = new Random(seed);
    this.#switches = switches;
    this.#statements = new Statements(this.#random, switches);
    this.#isSolo = this.#random.chance(0.3);
    this.#migrates = switches.has('migrations') && this.#random.chance(0.3);
  }

  draw(length: number): Program {
    const setup = this.#setup();
    while (this.#steps.length < length) this.#drawSome();
    for (const number of this.#actors.keys()) this.#release(number);
    return { seed: this.#seed, setup, steps: this.#steps };
  }

  #setup(): Setup {
    const random = this.#random;
    const lane = random.chance(0.7);
    const namedStatements = random.chance(0.7);
    const isInSession = random.chance(0.7);
    this.#hasNames = namedStatements;
    const driver = random.pick(['localised', 'rewriting', 'without status'] as const);
    const isKnown =
      (driver === 'rewriting' && !this.#switches.has('drivers that rewrite')) ||
      (driver === 'without status' && !this.#switches.has('drivers without status'));
    return { lane, namedStatements, isInSession, driver: random.chance(0.25) && !isKnown ? driver : 'plain' };
  }

  get #isAnyOpen(): boolean {
    return [...this.#actors.values()].some(({ mayBeIn }) => mayBeIn !== 'nothing');
  }

  get #isAnyOnReplica(): boolean {
    return [...this.#actors.values()].some(({ mayBeIn }) => mayBeIn === 'read-only transaction');
  }

  #drawSome(): void {
    const random = this.#random;
    if (this.#actors.size > 0 && random.chance(0.5)) {
      this.#act(random.pick([...this.#actors.keys()]));
      return;
    }
    if (this.#isAnyOpen) {
      this.#besideTransactions();
      return;
    }
    const what = random.next();
    if (what < 0.42) this.#run(random.pick(READING_WAYS), (isForPools) => this.#statements.read(isForPools));
    else if (what < 0.66) this.#run(random.pick(WRITING_WAYS), (isForPools) => this.#statements.write(isForPools));
    else if (what < 0.71) this.#several();
    else if (what < 0.78) this.#together();
    else if (what < 0.86) this.#transaction();
    else if (what < 0.95) this.#take();
    else if (what < 0.965) this.#foreign();
    else if (what < 0.97) this.#suicide();
    else if (what < 0.973) this.#killIdle();
    else if (what < 0.978) this.#poolTransaction();
    else if (this.#migrates && this.#migrationCount < MAX_MIGRATIONS) this.#migrate();
  }

  #run(way: Way, statement: (isForPools: boolean) => Statement): void {
    this.#steps.push({ kind: 'run', way, statement: statement(way.startsWith('pool:')) });
  }

  /**
   * Reads, and notes: nobody locks those. While somebody is on a replica nothing is written, since
   * he would be shown it later than with pg.
   */
  #besideTransactions(): void {
    const random = this.#random;
    if (this.#isAnyOnReplica || random.chance(0.75)) {
      this.#run(random.pick(READING_WAYS), (isForPools) => this.#statements.read(isForPools));
      return;
    }
    this.#run(random.pick(WRITING_WAYS), () => ({ text: INSERT, form: 'args' }));
  }

  #several(): void {
    const statement = this.#statements.several();
    const way = this.#random.pick(WRITING_WAYS);
    this.#steps.push({ kind: 'run', way, statement });
    this.#endOnPool(way, statement);
  }

  /** What was left open on a pool that hands it on is ended before others wait for its locks. */
  #endOnPool(way: Way, statement: Statement): void {
    if ((way !== 'pool:write' && way !== 'pool:auto') || !mayLeaveOpen(statement)) return;
    this.#steps.push({ kind: 'run', way, statement: { text: 'rollback', form: 'args' } });
  }

  #together(): void {
    if (this.#isSolo) return;
    const random = this.#random;
    const runs = Array.from({ length: 2 + Math.floor(random.next() * 8) }, () => {
      const way = random.pick(READING_WAYS);
      return { way, statement: this.#statements.read(way.startsWith('pool:')) };
    });
    this.#steps.push({ kind: 'together', runs });
  }

  #transaction(): void {
    const random = this.#random;
    const readOnly = random.chance(0.3);
    const isolation = random.pick([undefined, undefined, 'repeatable read', 'serializable'] as const);
    const options = { ...(readOnly ? { readOnly } : {}), ...(isolation === undefined ? {} : { isolation }) };
    this.#steps.push({ kind: 'transaction', options, body: this.#body(readOnly, 0), ending: this.#ending() });
  }

  #body(readOnly: boolean, depth: number): Inner[] {
    const random = this.#random;
    return Array.from({ length: Math.floor(random.next() * 6) }, (): Inner => {
      const isCaught = random.chance(0.5);
      if (depth < 2 && random.chance(0.15)) {
        return { kind: 'nested', body: this.#body(readOnly, depth + 1), ending: this.#ending(), isCaught };
      }
      const isRead = readOnly || random.chance(0.5);
      const statement = isRead ? this.#statements.read() : this.#statements.write();
      const by = random.pick(
        readOnly ? (['client', 'read', 'query'] as const) : (['client', 'read', 'write', 'query'] as const),
      );
      return { kind: 'inner', by, statement, isCaught };
    });
  }

  #ending(): Ending {
    return this.#random.chance(0.15) ? 'throw' : 'return';
  }

  #foreign(): void {
    const random = this.#random;
    const id = 1 + Math.floor(random.next() * 20);
    const text = random.pick([
      `update items set name = 'by somebody else', price = ${id} where id = ${id}`,
      `insert into notes (item_id, body) values (${id}, 'by somebody else')`,
      `delete from notes where item_id = ${id}`,
    ]);
    this.#steps.push({ kind: 'foreign', text });
  }

  /** Texts that have come again by then go on coming. */
  #migrate(): void {
    const random = this.#random;
    const migration = random.pick(random.chance(0.6) ? TYPE_CHANGES : OTHER_CHANGES);
    const isBack = this.#changed.delete(migration);
    if (!isBack) this.#changed.add(migration);
    const text = isBack ? migration.back : migration.forth;
    this.#migrationCount++;
    const again = Array.from({ length: 4 }, () => {
      const found = this.#statements.about(migration);
      if (found === undefined) return () => undefined;
      const way = random.pick(found.isWrite ? WRITING_WAYS : READING_WAYS);
      return () => this.#run(way, () => found.draw());
    });
    for (let i = 0; i < 3; i++) for (const run of again) run();
    this.#statements.epoch++;
    const way = random.pick(['write', 'query', 'pool:auto', 'pool:write'] as const);
    if (random.chance(0.7)) this.#steps.push({ kind: 'foreign', text });
    else this.#run(way, () => ({ text, form: 'args' }));
    this.#steps.push({ kind: 'settle' });
    for (let i = 0; i < 2; i++) for (const run of again) run();
  }

  #suicide(): void {
    const way = this.#random.pick(['write', 'query', 'pool:auto', 'pool:write'] as const);
    this.#run(way, () => this.#statements.suicide());
  }

  #killIdle(): void {
    if (this.#actors.size === 0) this.#steps.push({ kind: 'kill', actor: 'idle' });
  }

  /** Several statements of a pool that nobody else uses meanwhile all run on one connection. */
  #poolTransaction(): void {
    if (!this.#switches.has('transactions by statements of a pool') || this.#actors.size > 0) return;
    const random = this.#random;
    const run = (text: string): void => this.#run('pool:write', () => ({ text, form: 'args' }));
    run('begin');
    for (let i = 0; i < 2; i++) {
      const isRead = random.chance(0.4);
      this.#run('pool:write', () => {
        const statement = isRead ? this.#statements.read() : this.#statements.write();
        // pg meets that on its connection, and so loses the transaction with it.
        return statement.form === 'throwing getter' ? { ...statement, form: 'args' } : statement;
      });
    }
    run(random.pick(['commit', 'rollback']));
    // After a failure the connection was another one.
    run('rollback');
  }

  #take(): void {
    const random = this.#random;
    const free = Array.from({ length: ACTOR_COUNT }, (_, i) => i).filter((i) => !this.#actors.has(i));
    if (free.length === 0 || (this.#isSolo && this.#actors.size > 0)) return;
    const actor = random.pick(free);
    const intent = random.pick(['auto', 'auto', 'auto', 'write', 'read'] as const);
    this.#actors.set(actor, { intent, mayBeIn: 'nothing', holdsState: false, listens: false, isGone: false });
    this.#steps.push({ kind: 'take', actor, intent });
  }

  #release(number: number): void {
    const actor = this.#actors.get(number) as Actor;
    const isBroken = this.#random.chance(0.1);
    if (actor.holdsState && !isBroken && !this.#isSolo) {
      if (actor.mayBeIn !== 'nothing') this.#on(number, { text: 'rollback', form: 'args' });
      this.#on(number, { text: 'discard all', form: 'args' });
    }
    const handsOn = actor.intent === 'write' && actor.mayBeIn !== 'nothing' && !isBroken;
    if (handsOn && !this.#switches.has('transactions by statements of a pool')) {
      this.#on(number, { text: 'rollback', form: 'args' });
    }
    this.#actors.delete(number);
    this.#steps.push({ kind: 'release', actor: number, isBroken });
    // Which pg hands on.
    if (handsOn) {
      this.#run('pool:write', () => ({ text: 'rollback', form: 'args' }));
    }
  }

  #on(actor: number, statement: Statement): void {
    this.#steps.push({ kind: 'on', actor, statement });
  }

  #act(number: number): void {
    const random = this.#random;
    const actor = this.#actors.get(number) as Actor;
    if (actor.isGone || random.chance(0.12)) {
      this.#release(number);
      return;
    }
    if (actor.mayBeIn === 'nothing') this.#actOutside(number, actor);
    else this.#actWithin(number, actor);
  }

  #actOutside(number: number, actor: Actor): void {
    const random = this.#random;
    const isReader = actor.intent === 'read';
    const what = random.next();
    if (what < 0.35 || (isReader && what < 0.75)) this.#on(number, this.#statements.read());
    else if (what < 0.55) this.#on(number, this.#statements.write());
    else if (what < 0.75) this.#begin(number, actor);
    else if (what < 0.83) {
      if (isReader) return;
      const statement = this.#statements.several();
      this.#on(number, statement);
      if (mayLeaveOpen(statement)) actor.mayBeIn = 'transaction';
    } else if (what < 0.9) this.#stream(number, actor);
    else if (what < 0.96) this.#state(number, actor);
    else if (!isReader && what < 0.97) {
      this.#on(number, this.#statements.suicide());
      actor.isGone = true;
    } else this.#notify(number, actor);
  }

  #begin(number: number, actor: Actor): void {
    const random = this.#random;
    // Whoever holds a transaction on a replica sees what others write later than with pg: nobody
    // else may be writing.
    const isReadOnly = random.chance(0.3);
    if ((isReadOnly || actor.intent === 'read') && this.#isAnyOpen) return;
    const text = isReadOnly
      ? random.pick(['begin read only', 'begin transaction isolation level repeatable read, read only'])
      : random.pick(['begin', 'BEGIN', 'start transaction', 'begin isolation level repeatable read']);
    this.#on(number, { text, form: 'args' });
    actor.mayBeIn = isReadOnly || actor.intent === 'read' ? 'read-only transaction' : 'transaction';
  }

  #actWithin(number: number, actor: Actor): void {
    const random = this.#random;
    const what = random.next();
    const isReadOnly = actor.mayBeIn === 'read-only transaction';
    if (what < 0.35) this.#on(number, this.#statements.read());
    else if (what < 0.6) this.#on(number, isReadOnly ? this.#statements.read() : this.#statements.write());
    else if (what < 0.66) {
      const text = random.pick([
        'savepoint s',
        'rollback to savepoint s',
        'release savepoint s',
        "set local timezone = 'UTC'",
      ]);
      this.#on(number, { text, form: 'args' });
    } else if (what < 0.7) this.#stream(number, actor);
    else if (what < 0.705 && !isReadOnly) {
      this.#steps.push({ kind: 'kill', actor: number });
      actor.isGone = true;
      actor.mayBeIn = 'nothing';
    } else if (what < 0.73) this.#release(number);
    else {
      this.#on(number, { text: random.pick(['commit', 'commit', 'rollback', 'end', 'abort']), form: 'args' });
      actor.mayBeIn = 'nothing';
    }
  }

  #stream(number: number, { intent, mayBeIn }: Actor): void {
    const statement = this.#statements.streaming();
    const meetsNames = this.#hasNames && intent !== 'write';
    if (statement.form === 'copy out' && meetsNames && !this.#switches.has('copies where names were given up')) return;
    if (statement.form === 'copy in' && (intent === 'read' || mayBeIn === 'read-only transaction')) return;
    this.#on(number, statement);
    // A cursor that failed leaves an answer on its way, over which pg-copy-streams stumbles: with
    // bare pg, too.
    if (statement.form !== 'copy in' && statement.form !== 'copy out')
      this.#on(number, { text: 'select 1', form: 'args' });
  }

  #state(number: number, actor: Actor): void {
    const random = this.#random;
    if (actor.intent === 'read') return;
    if (!actor.holdsState) {
      this.#on(number, this.#statements.setting());
      actor.holdsState = true;
    } else if (random.chance(0.7)) {
      const statement = this.#statements.showing();
      // What others have inserted on that connection before is chance: which ones a pool has closed since goes by where their reads have failed.
      if (statement.text.includes('val(')) this.#on(number, { text: INSERT, form: 'args' });
      this.#on(number, statement);
    } else {
      this.#on(number, this.#statements.cleaning());
      actor.listens = false;
    }
  }

  #notify(number: number, actor: Actor): void {
    if (actor.intent === 'read') return;
    if (!actor.listens) {
      this.#on(number, { text: 'listen news', form: 'args' });
      actor.listens = true;
      actor.holdsState = true;
    }
    const text = `notify news, 'item ${Math.floor(this.#random.next() * 100)}'`;
    this.#run(this.#random.pick(WRITING_WAYS), () => ({ text, form: 'args' }));
    this.#steps.push({ kind: 'hear', actor: number, count: 1 });
  }
}

function mayLeaveOpen({ text }: Statement): boolean {
  return /begin|start|chain/.test(text);
}
