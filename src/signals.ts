/**
 * Node's own AbortController, and what may stand in the place of a user's signal. A test environment that plays a browser (jsdom, happy-dom) puts its own classes
 * into the global places, before or after the library is loaded: Node refuses their signals, and they refuse Node's. It never gives up by itself.
 */
import { setMaxListeners } from 'node:events';
import * as util from 'node:util';

const NodesController = nodesController();
const NodesSignal = new NodesController().signal.constructor as typeof AbortSignal;

export { NodesController as AbortController };

/** What is heard of a signal, from whatever maker; old ones tell no `reason`. */
export type SignalLike = Pick<AbortSignal, 'aborted' | 'addEventListener' | 'removeEventListener' | 'reason'>;

export function isSignal(value: unknown): value is SignalLike {
  if (typeof value !== 'object' || value === null) return false;
  const { aborted, addEventListener, removeEventListener } = value as Partial<SignalLike>;
  const listens = typeof addEventListener === 'function' && typeof removeEventListener === 'function';
  return typeof aborted === 'boolean' && listens;
}

/** Many statements of one request may wait on its signal: that is no leak, and Node shall not warn of one. Others do not warn. */
export function allowMany(signal: SignalLike): void {
  if (signal instanceof NodesSignal) setMaxListeners(0, signal);
}

/** Node tells its class by no import, whatever is in the global place: one that it has made does. */
function nodesController(): typeof AbortController {
  try {
    return util.transferableAbortController().constructor as typeof AbortController;
  } catch {
    // Other runtimes may not have it.
    return AbortController;
  }
}
