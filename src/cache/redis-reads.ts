/**
 * Reads keys of Redis. Those that are asked for in one tick travel in one command, as long as their
 * server has all of them; a cluster does not.
 */
import { type RedisScripts, wordsOf } from '../redis-client.js';

/** How both libraries' clients are read. */
export interface RedisReader {
  one(key: string): Promise<unknown>;
  many(keys: string[]): Promise<unknown>;
}

/** In one command: more would keep others waiting at the server. */
const MAX_KEYS = 100;

interface Read {
  readonly key: string;
  readonly resolve: (value: string | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class RedisReads {
  readonly #reader: RedisReader;
  readonly #scripts: RedisScripts;
  /** Keys of one command have to be on one server, which they are not. */
  #isApart = false;
  #waiting: Read[] = [];

  constructor(reader: RedisReader, scripts: RedisScripts) {
    this.#reader = reader;
    this.#scripts = scripts;
  }

  get(key: string): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      // Behind all that runs before the next event: whoever asks there asks with it.
      if (this.#waiting.length === 0) process.nextTick(this.#send);
      this.#waiting.push({ key, resolve, reject });
    });
  }

  readonly #send = (): void => {
    const reads = this.#waiting;
    this.#waiting = [];
    for (let at = 0; at < reads.length; at += MAX_KEYS) {
      const some = reads.slice(at, at + MAX_KEYS);
      if (this.#isApart || some.length === 1) this.#sendEach(some);
      else this.#sendTogether(some);
    }
  };

  #sendEach(reads: readonly Read[]): void {
    for (const { key, resolve, reject } of reads) {
      this.#scripts
        .ask(() => this.#reader.one(key))
        .then(
          (value) => resolve(textOf(value)),
          // Somebody else's, under our key.
          (error: unknown) => (wordsOf(error).includes('WRONGTYPE') ? resolve(undefined) : reject(error)),
        );
    }
  }

  #sendTogether(reads: readonly Read[]): void {
    const keys = reads.map(({ key }) => key);
    this.#scripts
      .ask(() => this.#reader.many(keys))
      .then(
        (values) => {
          const isAnswer = Array.isArray(values) && values.length === reads.length;
          for (const [at, { resolve, reject }] of reads.entries()) {
            if (isAnswer) resolve(textOf(values[at]));
            else reject(new Error('cache: unexpected answer of Redis'));
          }
        },
        (error: unknown) => {
          if (wordsOf(error).includes('CROSSSLOT')) {
            this.#isApart = true;
            this.#sendEach(reads);
          } else for (const { reject } of reads) reject(error);
        },
      );
  }
}

/** Node-redis gives bytes where it was told to. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return Buffer.isBuffer(value) ? value.toString() : undefined;
}
