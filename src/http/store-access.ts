/**
 * The application's TokenStore, as requests use it: what it holds for a request's key, and what is
 * put there. The store is foreign code: any answer and any failure of it is expected. A failure is
 * a warning, and never fails a request.
 */

import type { IncomingMessage } from 'node:http';
import { within } from '../deadline.js';
import { invalidOptions, isError, noAnswer, toldAsItIs, wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import type { CarriedSession } from '../session/carried-session.js';
import type { CarrierTools } from '../session/runner.js';
import type { TokenStore } from '../token/store.js';
import { Candidates } from './candidates.js';
import type { OneTimeWarnings } from './one-time-warnings.js';
import type { HttpSessionOptions } from './options.js';

/** What the store holds for one key. */
export interface StoredTokens {
  readonly tokens: readonly string[];
  /** Why more tokens may be missing; `undefined` when these are all. */
  readonly failure: Error | undefined;
}

/** For which cluster a store is used. */
interface StoreUser {
  readonly tools: CarrierTools;
  /** Whether a text has a token's form, of any of the request's clusters. */
  readonly isToken: (text: unknown) => text is string;
  readonly warnings: OneTimeWarnings;
}

export const NOTHING_STORED: StoredTokens = { tokens: [], failure: undefined };

export class StoreAccess<Request extends IncomingMessage> {
  readonly #options: HttpSessionOptions<Request>;
  readonly #tools: CarrierTools;
  readonly #isToken: (text: unknown) => text is string;
  readonly #warnings: OneTimeWarnings;
  readonly #timeoutMillis: number;
  /** Requests without a key when they came: the store was not asked for these. */
  readonly #unasked = new WeakSet<Request>();

  /** @param timeoutMillis how long a request waits for the store */
  constructor(options: HttpSessionOptions<Request>, { tools, isToken, warnings }: StoreUser, timeoutMillis: number) {
    this.#options = options;
    this.#tools = tools;
    this.#isToken = isToken;
    this.#warnings = warnings;
    this.#timeoutMillis = timeoutMillis;
  }

  get exists(): boolean {
    return this.#options.store !== undefined;
  }

  /**
   * What the store holds for a request that has just come; `undefined` when nothing needs to be
   * asked.
   * @throws LadderError `LADDER_INVALID_OPTIONS` for a `storeKey` that gives no text
   */
  find(request: Request): Promise<StoredTokens> | undefined {
    const { store } = this.#options;
    const key = this.#keyOf(request);
    if (store === undefined) return undefined;
    if (key === undefined) {
      this.#unasked.add(request);
      return undefined;
    }
    return within(this.#tokensAt(key, store), this.#timeoutMillis, () => noAnswer(this.#timeoutMillis)).catch(
      (error: unknown) => ({
        tokens: [],
        failure: asError(error),
      }),
    );
  }

  async #tokensAt(key: string, store: TokenStore): Promise<StoredTokens> {
    const found: unknown = await store.get(key);
    if (found === undefined || found === null) return NOTHING_STORED;
    const candidates = new Candidates(this.#isToken);
    candidates.add(found);
    this.#tools.countMalformed(candidates.malformedCount);
    const isAll = candidates.malformedCount === 0;
    const failure = isAll ? undefined : toldAsItIs(new Error('it answered with something else than tokens'));
    return { tokens: candidates.tokens, failure };
  }

  /**
   * Stores the session's token. Never rejects.
   * @param hasToken called when only the store is left to answer
   */
  async keep(session: CarriedSession, request: Request, hasToken?: () => void): Promise<void> {
    if (!this.exists) return;
    try {
      const token = await session.token().catch(() => session.primaryOnlyToken());
      hasToken?.();
      await this.put(request, token);
    } catch (error) {
      this.failed('a token was not stored', asError(error));
    }
  }

  /** @throws what the store, or `storeKey`, throws */
  async put(request: Request, token: string): Promise<void> {
    // Asked again: authentication may have run meanwhile.
    const key = this.#keyOf(request);
    if (key === undefined) return;
    if (this.#unasked.has(request)) {
      const message =
        'storeKey named nobody when a request came and somebody later, so its reads went without what the TokenStore has: harmless for a login; else authenticate first. Told once';
      this.#warnings.warn('token-store', message);
    }
    await this.#options.store?.put(key, token, this.#tools.tokenLifetimeMillis);
  }

  /** Warns that the store did not do what it was asked to. */
  failed(what: string, error: Error): void {
    this.#tools.warn(() => becauseOf(error, { code: 'token-store', message: `${what}: ${wordFor(error)}` }));
  }

  /** Warns that an answer ended while the store was still at work. */
  late(): void {
    this.#tools.warn(() => ({
      code: 'token-store',
      message: `an answer ended before the TokenStore had its token, which it was given ${this.#timeoutMillis} ms for: the next request of its user may miss what it wrote`,
    }));
  }

  /** Whether the store would keep anything for the request. */
  isKeyed(request: Request): boolean {
    try {
      return this.#keyOf(request) !== undefined;
    } catch {
      // `put` reports the error.
      return true;
    }
  }

  /** Whose token the store keeps. @throws LadderError `LADDER_INVALID_OPTIONS` */
  #keyOf(request: Request): string | undefined {
    const found: unknown = this.#options.storeKey?.(request);
    if (found === undefined || found === null || found === '') return undefined;
    if (typeof found === 'string') return found;
    if (typeof found === 'number' || typeof found === 'bigint') return String(found);
    if (found instanceof Promise) found.catch(() => undefined);
    throw invalidOptions('http sessions: storeKey: expected a string, or undefined for nobody, at once');
  }
}

/** A store may reject with anything. */
function asError(error: unknown): Error {
  return isError(error) ? error : toldAsItIs(new Error('it gave no reason'));
}
