/**
 * Forty statements, as an application may have them: six whose answers are worth keeping, three that are at first,
 * two that come again and again and change all the time, and 29 that say nothing twice, or must not be kept.
 */
import { type Cluster, type ReadOptions, routeOf, type Session } from '../../../src/index.js';
import { Random } from '../../simulation/random.js';

export const SCHEMA = [
  'create table categories (id int primary key, name text)',
  'create table products (id int primary key, category int, name text, price numeric)',
  'create table prices (id int primary key, price int)',
  'create table ticks (id int primary key, at int)',
  'create table orders (id int primary key, product int, note text)',
  "insert into categories select i, 'category ' || i from generate_series(1, 20) as i",
  "insert into products select i, 1 + i % 20, 'product ' || i, i / 7.0 from generate_series(1, 2000) as i",
  'insert into prices select i, i from generate_series(1, 10) as i',
  'insert into ticks select i, 0 from generate_series(1, 10) as i',
  "insert into orders select i, i % 2000, 'note ' || i from generate_series(1, 5000) as i",
];

export interface Asked {
  readonly text: string;
  readonly values: readonly unknown[];
  readonly options?: ReadOptions;
}

type Ask = (random: Random) => Asked;

const one =
  (text: string, options?: ReadOptions): Ask =>
  () => ({ text, values: [], ...(options === undefined ? {} : { options }) });

const of =
  (text: string, count: number): Ask =>
  (random) => ({ text, values: [1 + Math.floor(random.next() * count)] });

/** With its values in the text: another one each time. */
const written =
  (before: string, after = ''): Ask =>
  (random) => ({ text: `${before}${Math.floor(random.next() * 1e9)}${after}`, values: [] });

export const paying: readonly Ask[] = [
  of('select id, name from categories where id = $1', 3),
  one('select id, name from categories order by name'),
  one('select category, count(*) from products group by category'),
  of(
    'select p.id, p.name, c.name as category from products p join categories c on c.id = p.category where c.id = $1',
    2,
  ),
  one('select max(price) from products'),
  // Its values are in the text, and the same each time.
  one("select id, price from products where name = 'product 7'"),
];

export const payingAtFirst: readonly Ask[] = [
  of('select price from prices where id = $1', 3),
  one('select sum(price) from prices'),
  one('select id, price from prices order by price desc'),
];

export const changing: readonly Ask[] = [one('select sum(at) from ticks'), of('select at from ticks where id = $1', 2)];

const CATEGORIES = 'select count(*) from categories where id >';

export const others: readonly Ask[] = [
  of('select note from orders where id = $1', 1e9),
  of('select product, note from orders where id = $1', 1e9),
  of('select count(*) from orders where product = $1', 1e9),
  of('select name from products where id = $1 and category > 0', 1e9),
  of('select upper(name) from products where id = $1', 1e9),
  of('select price * 2 as twice from products where id = $1', 1e9),
  written('select note from orders where id = '),
  written('select price from products where id = ', ' and price > 0'),
  written("select id from products where name = 'product ", "'"),
  written('select count(*) from orders where id > '),
  written('select c.id from categories c where c.id = '),
  one('select random()'),
  one('select now()'),
  one('select clock_timestamp(), count(*) from categories'),
  one('select id from products where random() < 0.001'),
  one('select current_user'),
  one("select current_setting('application_name')"),
  one('select pg_backend_pid()'),
  one('select current_date, count(*) from categories'),
  one(`${CATEGORIES} 1`, { cache: false }),
  one('select min(name) from products', { cache: false }),
  one('select count(*) from products where price > 3', { target: 'primary' }),
  one('select count(*) from products where price > 4', { target: 'replica' }),
  one('select count(*) from products where price > 5', { consistency: 'strong' }),
  one('select name from categories where id = 3', { consistency: 'strong' }),
  one('select 1 as one'),
  one('select id from orders where false', { cache: false }),
  one('select count(*) from products where category in (1, 2)', { cache: { tags: ['asked'] } }),
  one('select avg(price) from products', { cache: { maxStalenessMillis: 0 } }),
];

export const kinds = { paying, payingAtFirst, changing, others };
export type Kind = keyof typeof kinds;
export type Mix = Readonly<Record<Kind, number>>;

/** Four callers, one read after the other. */
const CALLERS = 4;
/** Of one of them so many reads in a row are one session. */
const SESSION_READS = 3;
/** One session in so many writes, and reads what it wrote. */
const WRITING = 10;

/** Reads of the forty, in the shares of a mix, until it is stopped. */
export class Traffic {
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #onRead: () => void;
  readonly #running: Promise<unknown>;
  #isOver = false;
  mix: Mix;
  readCount = 0;
  /** Of answers that were given without being asked for. */
  oldestMillis = 0;
  /** Reads of others count where they did not ask for caches. */
  readonly fromMemory: Record<Kind, number> = { paying: 0, payingAtFirst: 0, changing: 0, others: 0 };

  /** @param onRead called before each read */
  constructor(cluster: Cluster, mix: Mix, seed: number, onRead: () => void) {
    this.#onRead = onRead;
    this.#cluster = cluster;
    this.#random = new Random(seed);
    this.mix = mix;
    this.#running = Promise.all(Array.from({ length: CALLERS }, (_, caller) => this.#call(caller)));
  }

  /** @throws what a read has thrown, or what it showed wrong */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #call(caller: number): Promise<void> {
    while (!this.#isOver)
      if (caller > 0) await this.#read(this.#cluster);
      else
        await this.#cluster.session(
          async (session) => {
            if (this.#random.next() * WRITING < 1) await this.#write(session);
            for (let i = 0; i < SESSION_READS && !this.#isOver; i++) await this.#read(session);
          },
          { inherit: 'none' },
        );
  }

  async #write(session: Session): Promise<void> {
    const note = `note ${this.#random.next()}`;
    await session.write('update orders set note = $2 where id = $1', [1, note]);
    const { rows } = await session.read('select note from orders where id = $1', [1]);
    if (rows[0]?.['note'] !== note) throw new Error('a session does not see its own write');
  }

  async #read(session: Pick<Cluster, 'read'>): Promise<void> {
    const kind = this.#kind();
    const asks = kinds[kind];
    const { text, values, options } = (asks[Math.floor(this.#random.next() * asks.length)] as Ask)(this.#random);
    this.readCount++;
    this.#onRead();
    const result = await session.read(text, [...values], options);
    const { rung, ageMillis = 0 } = routeOf(result) ?? {};
    if (rung !== 'memory' || typeof options?.cache === 'object') return;
    this.fromMemory[kind]++;
    this.oldestMillis = Math.max(this.oldestMillis, ageMillis);
  }

  #kind(): Kind {
    let left = this.#random.next();
    for (const kind of ['paying', 'payingAtFirst', 'changing'] as const) {
      left -= this.mix[kind];
      if (left < 0) return kind;
    }
    return 'others';
  }
}

/** Statements of the application that servers have run, without those that an audit compares with. */
export function statementsOf(cluster: Cluster): number {
  const { sameCount, changedCount, wrongCount } = cluster.cache.stats().audit;
  const all = cluster.stats().nodes.reduce((sum, { statementCount }) => sum + statementCount, 0);
  return all - sameCount - changedCount - wrongCount;
}
