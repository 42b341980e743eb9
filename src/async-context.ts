/**
 * Chooses the async context that code runs in. Background work runs outside of every AsyncLocalStorage
 * store, and its statements make no spans. What a call does later, in an event of another call's socket or
 * timer, runs in the context of that call. Sessions are kept elsewhere.
 */
import { AsyncResource } from 'node:async_hooks';

/** Runs {@link emptyContext} only: on Node 20 and 22, code that enters a store leaves it on its resource. */
const ROOT = root();

/** Where OpenTelemetry's API keeps what was set up, and how its SDK marks what makes no spans. */
const OPEN_TELEMETRY = Symbol.for('opentelemetry.js.api.1');
const UNTRACED = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** What is used of OpenTelemetry's API. Another library may stand in its place. */
interface OpenTelemetry {
  readonly context?: { active?(): OtherContext; with?<T>(context: OtherContext, fn: () => T): T };
}
interface OtherContext {
  setValue?(key: symbol, value: unknown): OtherContext;
}

/** The async context of the code that makes it. `runInAsyncScope` runs something in it later. */
export class CallingContext extends AsyncResource {
  constructor() {
    super('pg-ladder');
  }
}

/** An async context of its own, without any store. */
export function emptyContext(): AsyncResource {
  return ROOT.runInAsyncScope(empty);
}

/** Runs `fn`, and all that it begins, in no async context: for sockets, timers and listeners that outlive a call. */
export function inNoContext<T, A extends unknown[]>(fn: (...args: A) => T, ...args: A): T {
  return emptyContext().runInAsyncScope(fn, undefined, ...args);
}

/** Runs `fn`, and all that it begins, in no async context and without spans: for the library's own work. */
export function inBackground<T>(fn: () => T): T {
  return emptyContext().runInAsyncScope(untraced<T>, undefined, fn);
}

function empty(): AsyncResource {
  return new AsyncResource('pg-ladder');
}

function untraced<T>(fn: () => T): T {
  const contexts = (globalThis as { [OPEN_TELEMETRY]?: OpenTelemetry })[OPEN_TELEMETRY]?.context;
  if (typeof contexts?.with !== 'function') return fn();
  const marked = contexts.active?.()?.setValue?.(UNTRACED, true);
  return marked === undefined ? fn() : contexts.with(marked, fn);
}

/**
 * It is made when the library is loaded, which may be within a request: then it has the request's stores.
 * Node keeps them under symbols: one for each store, or from Node 24 on one for all.
 */
function root(): AsyncResource {
  const resource = empty() as AsyncResource & Record<symbol, unknown>;
  for (const key of Object.getOwnPropertySymbols(resource)) {
    if (key.description === 'kResourceStore' || key.description === 'context_frame') resource[key] = undefined;
  }
  return resource;
}
