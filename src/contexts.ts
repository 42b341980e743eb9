/**
 * In which session, and which transaction, the calling code runs: kept through everything that the code awaits. It opens
 * no session and runs no statement.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context } from './execute/call-context.js';
import type { SessionScope } from './session/scope.js';

export class Contexts {
  readonly #storage = new AsyncLocalStorage<Context | undefined>();
  /** Before the first session there is none to leave, and promises cost nothing more than without the library. */
  #isUsed = false;

  /** That of the calling code; `undefined` outside any session. */
  get current(): Context | undefined {
    return this.#storage.getStore();
  }

  /** That of a session which is passed explicitly: it joins the transaction of the calling code if that is its own. */
  of(scope: SessionScope): Context {
    const { current } = this;
    return current?.scope === scope ? current : { scope, transaction: undefined };
  }

  /** Runs `fn` there; outside any session where it is `undefined`. Not by `exit`, which switches Node's hooks off and on again each time. */
  within<T, A extends unknown[]>(context: Context | undefined, fn: (...args: A) => T, ...args: A): T {
    if (context === undefined && !this.#isUsed) return fn(...args);
    this.#isUsed = true;
    return this.#storage.run(context, fn, ...args);
  }
}

/** A query builder starts when it is awaited. The caller would do that outside the session, so it is done here. */
export function startedWithin<T>(result: T): T {
  if (result instanceof Promise || typeof (result as { then?: unknown } | undefined)?.then !== 'function')
    return result;
  const lazy = result as unknown as PromiseLike<unknown>;
  return new Promise((resolve, reject) => void lazy.then(resolve, reject)) as T;
}
