/**
 * Holds an answer's head back until what belongs into it is known. Node sends headers at the first word of the answer, and asks nobody: what comes meanwhile is
 * kept, in its order, and goes out afterwards as if it had come then. It knows nothing of sessions.
 */
import type { ServerResponse } from 'node:http';

const METHODS = ['writeHead', 'write', 'end', 'flushHeaders'] as const;
type Method = (typeof METHODS)[number];
type Call = (...args: unknown[]) => unknown;

/**
 * @param ready called once, at the first word of the answer: a promise to wait for, or nothing
 * @param complete called when the head goes out, with what `writeHead` is given; returns what it shall be given
 */
export function holdResponse(
  response: ServerResponse,
  ready: () => Promise<void> | undefined,
  complete: (headArgs: unknown[] | undefined) => unknown[] | undefined,
): void {
  let state: 'untouched' | 'held' | 'gone' = 'untouched';
  const held: { readonly method: Method; readonly args: unknown[] }[] = [];
  let isDrainAwaited = false;
  const originals = Object.fromEntries(METHODS.map((method) => [method, response[method] as Call])) as Record<
    Method,
    Call
  >;

  const begin = (method: Method, args: unknown[]): unknown => {
    state = 'gone';
    const isHead = method === 'writeHead';
    const completed = complete(isHead ? args : undefined);
    try {
      return originals[method].apply(response, isHead && completed !== undefined ? completed : args);
    } catch (error) {
      // A head that Node does not take has not left: the next one is the answer's.
      if (!response.headersSent) state = 'untouched';
      throw error;
    }
  };

  const goOn = (): void => {
    for (const name of ['headersSent', 'writableEnded']) Reflect.deleteProperty(response, name);
    state = 'gone';
    try {
      for (const [i, { method, args }] of held.entries()) {
        if (i === 0) begin(method, args);
        // What others have put around the methods meanwhile has seen these calls already.
        else originals[method].apply(response, args);
      }
    } catch (error) {
      // Whoever made the mistake is gone: Node would have thrown it at him.
      response.destroy(error as Error);
      return;
    }
    if (isDrainAwaited && !response.writableEnded) response.emit('drain');
  };

  const hold = (method: Method, args: unknown[]): unknown => {
    held.push({ method, args });
    // Frameworks ask before they answer once more.
    tell(response, 'headersSent');
    if (method === 'end') tell(response, 'writableEnded');
    if (method === 'write') isDrainAwaited = true;
    return method === 'write' ? false : method === 'flushHeaders' ? undefined : response;
  };

  for (const method of METHODS) {
    const own: Call = (...args) => {
      if (state === 'gone') return originals[method].apply(response, args);
      if (state === 'held') return hold(method, args);
      const waiting = ready();
      if (waiting === undefined) return begin(method, args);
      state = 'held';
      // Whoever has gone away waits for nothing.
      waiting.then(goOn, goOn);
      return hold(method, args);
    };
    // Not defined as a property: that makes every later look at the answer a slow one.
    (response as unknown as Record<Method, Call>)[method] = own;
  }
}

function tell(response: ServerResponse, name: string): void {
  Object.defineProperty(response, name, { configurable: true, get: () => true });
}
