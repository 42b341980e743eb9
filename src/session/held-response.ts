/**
 * Holds an answer's head back until what belongs into it is known. Node sends headers at the first word of the answer, and asks nobody: what comes meanwhile is
 * kept, in its order, and goes out afterwards as if it had come then. It knows nothing of sessions. Every request passes here: as long as nothing is held, it
 * costs five properties.
 */
import type { ServerResponse } from 'node:http';

type Method = 'writeHead' | 'write' | 'end' | 'flushHeaders';
type Call = (...args: unknown[]) => unknown;

/** What somebody has to say about an answer's head. */
export interface HeadKeeper {
  /** Called at the first word of the answer: a promise to wait for, or nothing. */
  ready(): Promise<void> | undefined;
  /** Called when the head goes out, with what `writeHead` is given. @returns what it shall be given */
  complete(headArgs: unknown[] | undefined): unknown[] | undefined;
}

const HOLD = Symbol('pg-ladder.hold');

type Holding = ServerResponse & { [HOLD]?: Hold };

/** @returns `false` when somebody holds it already */
export function holdResponse(response: ServerResponse, keeper: HeadKeeper): boolean {
  const holding = response as Holding;
  if (holding[HOLD] !== undefined) return false;
  holding[HOLD] = new Hold(response, keeper);
  holding.writeHead = writeHead;
  holding.write = write as ServerResponse['write'];
  holding.end = end;
  holding.flushHeaders = flushHeaders;
  return true;
}

class Hold {
  readonly #response: ServerResponse;
  readonly #keeper: HeadKeeper;
  readonly #own: Readonly<Record<Method, Call>>;
  #state: 'untouched' | 'held' | 'gone' = 'untouched';
  readonly #held: { readonly method: Method; readonly args: unknown[] }[] = [];
  #isDrainAwaited = false;

  constructor(response: ServerResponse, keeper: HeadKeeper) {
    this.#response = response;
    this.#keeper = keeper;
    const { writeHead, write, end, flushHeaders } = response as unknown as Record<Method, Call>;
    this.#own = { writeHead, write, end, flushHeaders };
  }

  call(method: Method, args: unknown[]): unknown {
    if (this.#state === 'gone') return this.#own[method].apply(this.#response, args);
    if (this.#state === 'held') return this.#hold(method, args);
    const waiting = this.#keeper.ready();
    if (waiting === undefined) return this.#begin(method, args);
    this.#state = 'held';
    const goOn = (): void => this.#goOn();
    waiting.then(goOn, goOn);
    return this.#hold(method, args);
  }

  #begin(method: Method, args: unknown[]): unknown {
    this.#state = 'gone';
    const isHead = method === 'writeHead';
    const completed = this.#keeper.complete(isHead ? args : undefined);
    try {
      return this.#own[method].apply(this.#response, isHead && completed !== undefined ? completed : args);
    } catch (error) {
      // A head that Node does not take has not left: the next one is the answer's.
      if (!this.#response.headersSent) this.#state = 'untouched';
      throw error;
    }
  }

  #hold(method: Method, args: unknown[]): unknown {
    this.#held.push({ method, args });
    // Frameworks ask before they answer once more.
    tell(this.#response, 'headersSent');
    if (method === 'end') tell(this.#response, 'writableEnded');
    if (method === 'write') this.#isDrainAwaited = true;
    return method === 'write' ? false : method === 'flushHeaders' ? undefined : this.#response;
  }

  #goOn(): void {
    const response = this.#response;
    for (const name of ['headersSent', 'writableEnded']) Reflect.deleteProperty(response, name);
    try {
      for (const [i, { method, args }] of this.#held.entries()) {
        if (i === 0) this.#begin(method, args);
        // What others have put around the methods meanwhile has seen these calls already.
        else this.#own[method].apply(response, args);
      }
    } catch (error) {
      // Whoever made the mistake is gone: Node would have thrown it at him.
      response.destroy(error as Error);
      return;
    }
    if (this.#isDrainAwaited && !response.writableEnded) response.emit('drain');
  }
}

function writeHead(this: Holding, ...args: unknown[]): ServerResponse {
  return this[HOLD]?.call('writeHead', args) as ServerResponse;
}

function write(this: Holding, ...args: unknown[]): boolean {
  return this[HOLD]?.call('write', args) as boolean;
}

function end(this: Holding, ...args: unknown[]): ServerResponse {
  return this[HOLD]?.call('end', args) as ServerResponse;
}

function flushHeaders(this: Holding): void {
  this[HOLD]?.call('flushHeaders', []);
}

function tell(response: ServerResponse, name: string): void {
  Object.defineProperty(response, name, { configurable: true, get: () => true });
}
