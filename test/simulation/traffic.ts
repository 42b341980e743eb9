/** Sessions with and without keys that write and read, as long as they are let. */
import type { Cluster, ReadOptions } from '../../src/index.js';

import type { Call, Judge } from './judge.js';
import type { Random } from './random.js';
import { DIVISION_BY_ZERO, LASTING_READ, READS, type ReadValues } from './reads.js';
import type { Commit, Seen } from './server.js';

const CALLERS = 6;
const KEYS = Array.from({ length: 300 }, (_, i) => `user:${i}`);
const CELEBRITY = 'celebrity';
const SESSION_READS = 20;
/** So many reads come to one that fails by itself. */
const FAILING_EVERY = 37;

export class Traffic {
  readonly failures: Record<string, number> = {};
  isOn = true;
  /** How much longer callers think than they would. */
  patience = 1;
  readonly #random: Random;
  readonly #cluster: Cluster;
  readonly #judge: Judge;
  #nextId = 1;
  #readCount = 0;

  constructor(random: Random, cluster: Cluster, judge: Judge) {
    this.#random = random;
    this.#cluster = cluster;
    this.#judge = judge;
  }

  /** Resolves when it was switched off and everybody has gone. */
  async run(): Promise<void> {
    await Promise.all(Array.from({ length: CALLERS }, () => this.#call()));
  }

  async write(): Promise<Commit | undefined> {
    const id = this.#nextId++;
    this.#judge.underWay++;
    try {
      await this.#cluster.write('write', [id]);
      return this.#judge.acknowledge(id);
    } catch {
      return undefined;
    } finally {
      this.#judge.underWay--;
    }
  }

  /** A read by its own in a session of its own, that must see nothing in particular. */
  single(key: string | undefined, takesMillis = 0, maxStalenessMillis?: number): Promise<Seen | undefined> {
    const call: Call = {
      askedAt: performance.now(),
      key,
      consistency: 'session',
      maxStalenessMillis,
      takesMillis,
      isFloorless: true,
      before: undefined,
      held: undefined,
      own: [],
    };
    const text = takesMillis > 0 ? LASTING_READ : this.#nextText();
    const read = (): Promise<Seen | undefined> => this.#read(text, call, 1, { maxStalenessMillis });
    return this.#cluster.session(read, { inherit: 'none', partitionKey: key });
  }

  pickKey(): string {
    return this.#random.pick(KEYS);
  }

  async #call(): Promise<void> {
    const random = this.#random;
    while (this.isOn) {
      const inherit = random.chance(0.6) ? 'none' : 'process';
      const key = random.chance(0.5) ? undefined : random.chance(0.4) ? CELEBRITY : this.pickKey();
      const count = random.chance(0.5) ? 3 : SESSION_READS;
      await this.#cluster.session(() => this.#session(count, key, inherit === 'none'), { inherit, partitionKey: key });
    }
  }

  async #session(count: number, sessionKey: string | undefined, isAlone: boolean): Promise<void> {
    const random = this.#random;
    let own: Commit[] = [];
    let before: Seen | undefined;
    let held: Seen | undefined;
    let isFloorless = isAlone;
    for (let i = 0; i < count && this.isOn; i++) {
      const thinking = random.between(1, 30) * this.patience;
      await new Promise((resolve) => setTimeout(resolve, thinking));
      if (random.chance(0.2)) {
        isFloorless = false;
        const commit = await this.write();
        if (commit !== undefined) own.push(commit);
      }
      const options: ReadOptions = {};
      const kind = random.pick([
        'session',
        'session',
        'session',
        'session',
        'session',
        'session',
        'strong',
        'strong',
        'eventual',
        'bounded',
      ]);
      if (kind === 'strong' || kind === 'eventual') options.consistency = kind;
      if (kind === 'bounded') options.maxStalenessMillis = random.pick([300, 600, 1_000, 3_000]);
      const ownKey = random.chance(0.1) ? this.pickKey() : undefined;
      if (ownKey !== undefined) options.partitionKey = ownKey;
      const takesMillis = random.chance(0.01) ? random.between(300, 1_800) : 0;
      const call: Call = {
        askedAt: performance.now(),
        key: ownKey ?? sessionKey,
        consistency: options.consistency ?? 'session',
        maxStalenessMillis: options.maxStalenessMillis,
        takesMillis,
        isFloorless,
        before,
        held,
        own: kind === 'eventual' ? [] : own,
      };
      const seen = await this.#read(this.#nextText(), call, this.#readCount % FAILING_EVERY === 0 ? 0 : 1, options);
      // Where it goes on must have what it has seen where it was.
      if (before !== undefined && seen?.server !== before.server) isFloorless = false;
      before = seen ?? before;
      if (kind !== 'eventual') held = seen ?? held;
      own = own.slice(-20);
    }
  }

  #nextText(): string {
    return READS[this.#readCount++ % READS.length] as string;
  }

  /** @param divisor 0 for one that fails by itself, and alone */
  #read(text: string, call: Call, divisor: 0 | 1, options: ReadOptions): Promise<Seen | undefined> {
    const values: ReadValues = [call.askedAt, call.takesMillis, divisor];
    return this.#judge.judge(call, async () => {
      try {
        const { rows } = await this.#cluster.read(text, [...values], options);
        if (divisor === 0) this.#failed('answered in the place of an error');
        return rows[0] as unknown as Seen;
      } catch (error) {
        const { code = String(error) } = error as { code?: string };
        if (divisor === 0 && code === DIVISION_BY_ZERO) this.#judge.figures.failed++;
        else this.#failed(code);
        return undefined;
      }
    });
  }

  #failed(code: string): void {
    this.failures[code] = (this.failures[code] ?? 0) + 1;
  }
}
