/**
 * Calls a client of Redis, whichever of two libraries it is of, as that library wants to be called.
 * It imports neither: it takes the client that the application has. It sends scripts by their
 * digest, bounds how many answers are outstanding, and keeps arguments out of errors.
 */
import { createHash } from 'node:crypto';
import { invalidOptions, LadderError, toldAsItIs } from './errors.js';

/**
 * What a client of node-redis (4 and above) has, as far as it matters here: of `createClient`,
 * `createClientPool`, `createSentinel` or `createCluster`.
 */
export interface NodeRedisClient {
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
  evalSha(sha1: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>;
}

/** What a client of ioredis has, as far as it matters here: a `Redis` or a `Cluster`. */
export interface IoredisClient {
  eval(script: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>;
  evalsha(sha1: string, keyCount: number, ...keysAndArguments: string[]): Promise<unknown>;
  readonly defineCommand: unknown;
}

/**
 * Beyond that, nothing more is asked: a client whose server is gone keeps everything that it cannot
 * send.
 */
const MAX_UNANSWERED = 10_000;
/** In characters: how much of a client's error is shown, and how much of it is read. */
const MAX_REASON_LENGTH = 1_000;
const MAX_READ_LENGTH = 10_000;

const ARGUMENTS = /,? with args beginning with:.*$/s;
/** In the address of a server. */
const LOGIN = /\/\/[^\s/]*@/g;

/** A Lua script, sent by its digest where the server knows it. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

export function scriptOf(text: string): Script {
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

/** One method that either library has under a name of its own. */
type Call = (by: 'sha1' | 'text', script: string, keys: string[], args: string[]) => Promise<unknown>;

export type RedisLibrary = 'node-redis' | 'ioredis';

/**
 * The two are told apart by how they spell EVALSHA. Clients that answer by callback have `evalsha`,
 * too: node-redis before 4, and its legacy mode.
 */
export function libraryOf(client: unknown): RedisLibrary | undefined {
  const shape = Object(client) as Record<string, unknown>;
  const has = (name: string): boolean => typeof shape[name] === 'function';
  if (has('eval') && has('evalSha') && !has('evalsha')) return 'node-redis';
  return has('eval') && has('evalsha') && has('defineCommand') ? 'ioredis' : undefined;
}

export interface ScriptsOptions {
  /** Who asks: how its errors begin. */
  readonly owner: string;
  /** What a client's words are freed of, beside arguments and logins. */
  readonly clean?: (words: string) => string;
}

/** Runs scripts through a client. */
export class RedisScripts {
  readonly #owner: string;
  readonly #clean: (words: string) => string;
  readonly #call: Call;
  #unanswered = 0;

  /** @throws LadderError `LADDER_INVALID_OPTIONS` */
  constructor(client: NodeRedisClient | IoredisClient, { owner, clean = (words) => words }: ScriptsOptions) {
    this.#owner = owner;
    this.#clean = clean;
    this.#call = this.#callOf(client);
  }

  /**
   * @throws (rejects) LadderError `LADDER_OVERLOADED`, or as the client does, without the arguments
   */
  run({ sha1, text }: Script, keys: string[], args: string[]): Promise<unknown> {
    return this.#ask(() =>
      this.#call('sha1', sha1, keys, args).catch((error: unknown) => {
        if (!wordsOf(error).startsWith('NOSCRIPT')) throw error;
        return this.#call('text', text, keys, args);
      }),
    );
  }

  #ask<T>(call: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.answer(call, resolve, reject));
  }

  /**
   * Counts a call that is made otherwise among those that are not answered, and cleans its error. On
   * the way of each read: it makes no promise that it can do without.
   * @param answered must not throw, nor may `failed`
   */
  answer<T>(call: () => Promise<T>, answered: (value: T) => void, failed: (error: unknown) => void): void {
    if (this.#unanswered >= MAX_UNANSWERED) {
      const words = `${this.#owner}: ${MAX_UNANSWERED} answers of Redis are awaited`;
      failed(new LadderError('LADDER_OVERLOADED', words));
      return;
    }
    this.#unanswered++;
    begun(call).then(
      (value) => {
        this.#unanswered--;
        answered(value);
      },
      (error: unknown) => {
        this.#unanswered--;
        failed(this.#without(error));
      },
    );
  }

  /**
   * The error anew: ioredis puts the command on its errors with all its arguments, and Redis quotes
   * them where it does not know the command.
   */
  #without(error: unknown): Error {
    const { code } = Object(error) as Record<string, unknown>;
    const shown = this.#clean(wordsOf(error).replace(ARGUMENTS, '').replace(LOGIN, '//…@'));
    const told = toldAsItIs(new Error(`${this.#owner}: ${shown.slice(0, MAX_REASON_LENGTH)}`));
    return Object.assign(told, typeof code === 'string' ? { code } : {});
  }

  #callOf(client: NodeRedisClient | IoredisClient): Call {
    const library = libraryOf(client);
    if (library === 'node-redis') {
      const own = client as NodeRedisClient;
      return async (by, script, keys, args) => {
        const options = { keys, arguments: args };
        return by === 'sha1' ? own.evalSha(script, options) : own.eval(script, options);
      };
    }
    if (library === 'ioredis') {
      const own = client as IoredisClient;
      return async (by, script, keys, args) =>
        by === 'sha1'
          ? own.evalsha(script, keys.length, ...keys, ...args)
          : own.eval(script, keys.length, ...keys, ...args);
    }
    throw invalidOptions(
      `${this.#owner}: client: expected one of node-redis 4 or above, with eval() and evalSha(), or of ioredis, with eval(), evalsha() and defineCommand()`,
    );
  }
}

/**
 * What a client rejects with may be anything. A connection that fails on every address of its host
 * has no message.
 */
export function wordsOf(error: unknown): string {
  const { name, message, code } = Object(error) as Record<string, unknown>;
  const words = [message, code, name].find((word): word is string => typeof word === 'string' && word !== '');
  return (words ?? 'Redis failed').slice(0, MAX_READ_LENGTH);
}

/** What a client answers, whatever it does instead. */
function begun<T>(call: () => Promise<T>): Promise<T> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    // Somebody else's: it may be anything.
    return Promise.reject(error as Error);
  }
}
