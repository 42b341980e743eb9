/**
 * Reads keys of Redis. Those that are asked for in one tick travel in one command, as long as their
 * server has all of them; a cluster does not. On the way of each hit: a promise for each read, and
 * two for each command.
 */
import { type RedisScripts, wordsOf } from '../redis-client.js';

/** How both libraries' clients are read. */
export interface RedisReader {
  one(key: string): Promise<unknown>;
  many(keys: string[]): Promise<unknown>;
}

/** In one command: more would keep others waiting at the server. */
const MAX_KEYS = 100;

/** What becomes of a text: one that is not there yet is waited for. */
type Take<T> = (text: string) => T | Promise<T>;

interface Read<T> {
  readonly key: string;
  readonly resolve: (value: T | Promise<T> | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class RedisReads<T> {
  readonly #reader: RedisReader;
  readonly #scripts: RedisScripts;
  readonly #take: Take<T>;
  /** Keys of one command have to be on one server, which they are not. */
  #isApart = false;
  #waiting: Read<T>[] = [];

  /** @param take what is made of a text that is there; it must not throw */
  constructor(reader: RedisReader, scripts: RedisScripts, take: Take<T>) {
    this.#reader = reader;
    this.#scripts = scripts;
    this.#take = take;
  }

  get(key: string): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      // Behind all that runs before the next event: what is asked there is asked with it.
      if (this.#waiting.length === 0) process.nextTick(this.#send);
      this.#waiting.push({ key, resolve, reject });
    });
  }

  readonly #send = (): void => {
    const reads = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < reads.length; at += MAX_KEYS) {
      const some = reads.slice(at, at + MAX_KEYS);
      if (this.#isApart || some.length === 1) for (const read of some) this.#sendOne(read);
      else this.#sendTogether(some);
    }
  };

  #sendOne(read: Read<T>): void {
    this.#scripts.answer(
      () => this.#reader.one(read.key),
      (value) => this.#answer(read, value),
      // Somebody else's, under our key.
      (error) => (wordsOf(error).includes('WRONGTYPE') ? read.resolve(undefined) : read.reject(error)),
    );
  }

  #sendTogether(reads: readonly Read<T>[]): void {
    this.#scripts.answer(
      () => this.#reader.many(reads.map(({ key }) => key)),
      (values) => {
        const isAnswer = Array.isArray(values) && values.length === reads.length;
        for (const [at, read] of reads.entries()) {
          if (isAnswer) this.#answer(read, values[at]);
          else read.reject(new Error('cache: unexpected answer of Redis'));
        }
      },
      (error) => {
        if (wordsOf(error).includes('CROSSSLOT')) {
          this.#isApart = true;
          for (const read of reads) this.#sendOne(read);
        } else for (const { reject } of reads) reject(error);
      },
    );
  }

  #answer({ resolve }: Read<T>, value: unknown): void {
    const text = textOf(value);
    resolve(text === undefined ? undefined : this.#take(text));
  }
}

/** Node-redis gives bytes where it was told to. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString() : undefined;
}
