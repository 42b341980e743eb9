/**
 * Holds a response back until its head is complete, and later parts of it until the store has what
 * they may tell of. Node sends the headers with the first part of a body: calls that come meanwhile
 * wait in their order, and are made afterwards. It knows nothing of sessions. Every request passes
 * here: while nothing is held, it costs five properties.
 */
import type { ServerResponse } from 'node:http';
import { ResponseHead } from './response-head.js';

type Method = 'writeHead' | 'write' | 'end' | 'flushHeaders';
type Call = (...args: unknown[]) => unknown;

/** Decides what a held response waits for. */
export interface AnswerKeeper {
  /** Called at the first word of the answer: a promise to wait for, or nothing. */
  ready(): Promise<void> | undefined;
  /**
   * Called when the head goes out, with what `writeHead` is given. @returns what it shall be given
   */
  complete(headArgs: unknown[] | undefined): unknown[] | undefined;
  /** What wants to know of the rest of the answer, too. */
  readonly body: BodyKeeper | undefined;
}

export interface BodyKeeper {
  /**
   * Called before a part of the body leaves: a promise to wait for, or nothing. It is waited for
   * once.
   * @param isLast whether the receiver has the whole answer with it
   */
  leaving(isLast: boolean): Promise<void> | undefined;
  /** Called when the receiver may have the whole answer: no later part is waited for. */
  ended(): void;
}

const HOLD = Symbol('pg-ladder.hold');

type Holding = ServerResponse & { [HOLD]?: Hold };

/** Once for each response. */
export function holdResponse(response: ServerResponse, keeper: AnswerKeeper): void {
  const holding = response as Holding;
  holding[HOLD] = new Hold(response, keeper);
  holding.writeHead = writeHead;
  holding.write = write as ServerResponse['write'];
  holding.end = end;
  holding.flushHeaders = flushHeaders;
}

interface HeldCall {
  readonly method: Method;
  readonly args: unknown[];
}

class Hold {
  readonly #response: ServerResponse;
  readonly #keeper: AnswerKeeper;
  readonly #own: Readonly<Record<Method, Call>>;
  #isHeadGone = false;
  #isWaiting = false;
  /** Others have put their own around these methods, and call them from within. */
  #isSending = false;
  #hasEnded = false;
  /** Of the body: what its receiver still waits for. Known from the head. */
  #bytesLeft = Number.POSITIVE_INFINITY;
  /** The first of them is what is waited for. */
  readonly #held: HeldCall[] = [];
  #isDrainAwaited = false;

  constructor(response: ServerResponse, keeper: AnswerKeeper) {
    this.#response = response;
    this.#keeper = keeper;
    const { writeHead, write, end, flushHeaders } = response as unknown as Record<Method, Call>;
    this.#own = { writeHead, write, end, flushHeaders };
  }

  call(method: Method, args: unknown[]): unknown {
    if (this.#isSending) return this.#own[method].apply(this.#response, args);
    if (this.#isWaiting) return this.#hold(method, args);
    const waiting = this.#before(method, args);
    if (waiting === undefined) return this.#send(method, args);
    this.#wait(waiting);
    return this.#hold(method, args);
  }

  /** What that part of the answer has to wait for. */
  #before(method: Method, args: unknown[]): Promise<void> | undefined {
    const { body } = this.#keeper;
    if (!this.#isHeadGone) return this.#keeper.ready();
    if (body === undefined || this.#hasEnded || method === 'writeHead') return undefined;
    const isLast = this.#isLast(method, args);
    return method === 'flushHeaders' && !isLast ? undefined : body.leaving(isLast);
  }

  #wait(waiting: Promise<void>): void {
    this.#isWaiting = true;
    const goOn = (): void => this.#goOn();
    waiting.then(goOn, goOn);
  }

  #send(method: Method, args: unknown[]): unknown {
    const isFirst = !this.#isHeadGone;
    this.#isHeadGone = true;
    this.#isSending = true;
    try {
      const given = isFirst ? this.#completed(method, args) : args;
      const result = this.#own[method].apply(this.#response, given);
      this.#sent(method, args);
      return result;
    } catch (error) {
      // A head that Node does not take has not left: the next one is the answer's.
      if (isFirst && !this.#response.headersSent) this.#isHeadGone = false;
      throw error;
    } finally {
      this.#isSending = false;
    }
  }

  #completed(method: Method, args: unknown[]): unknown[] {
    const isHead = method === 'writeHead';
    const completed = this.#keeper.complete(isHead ? args : undefined);
    if (this.#keeper.body !== undefined) this.#bytesLeft = bodyBytes(this.#response, isHead ? args : undefined);
    return isHead && completed !== undefined ? completed : args;
  }

  #sent(method: Method, args: unknown[]): void {
    const { body } = this.#keeper;
    if (body === undefined || this.#hasEnded) return;
    if (this.#isLast(method, args)) {
      this.#hasEnded = true;
      body.ended();
    } else if (method === 'write') this.#bytesLeft -= bytesIn(args);
  }

  /**
   * Whether the receiver has the whole answer with it: where its length was told, that may be
   * before `end`.
   */
  #isLast(method: Method, args: unknown[]): boolean {
    if (method === 'end') return true;
    if (method === 'flushHeaders') return this.#bytesLeft <= 0;
    return method === 'write' && this.#bytesLeft > 0 && this.#bytesLeft <= bytesIn(args);
  }

  #hold(method: Method, args: unknown[]): unknown {
    this.#held.push({ method, args });
    if (method === 'write') this.#isDrainAwaited = true;
    this.#tell();
    return method === 'write' ? false : method === 'flushHeaders' ? undefined : this.#response;
  }

  /** Frameworks ask before they answer once more. */
  #tell(): void {
    if (!this.#isHeadGone) tell(this.#response, 'headersSent');
    if (this.#held.some(({ method }) => method === 'end')) tell(this.#response, 'writableEnded');
  }

  #goOn(): void {
    const response = this.#response;
    this.#isWaiting = false;
    for (const name of ['headersSent', 'writableEnded']) Reflect.deleteProperty(response, name);
    try {
      for (let hasWaited = true; ; hasWaited = false) {
        const [next] = this.#held;
        if (next === undefined) break;
        const { method, args } = next;
        const waiting = hasWaited ? undefined : this.#before(method, args);
        if (waiting !== undefined) {
          this.#wait(waiting);
          this.#tell();
          return;
        }
        this.#held.shift();
        // What others have put around the methods meanwhile has seen these calls already.
        this.#send(method, args);
      }
    } catch (error) {
      // The caller that made the mistake has returned: Node would have thrown the error there.
      this.#held.length = 0;
      response.destroy(error as Error);
      return;
    }
    const isDrainAwaited = this.#isDrainAwaited;
    this.#isDrainAwaited = false;
    // Where Node's own buffer is full, it will say so itself.
    if (isDrainAwaited && !response.writableEnded && !response.writableNeedDrain) response.emit('drain');
  }
}

/**
 * How many bytes of a body the receiver expects after that head; infinite when it waits for the
 * end.
 */
function bodyBytes(response: ServerResponse, headArgs: unknown[] | undefined): number {
  const statusCode = typeof headArgs?.[0] === 'number' ? headArgs[0] : response.statusCode;
  if (response.req?.method === 'HEAD' || statusCode === 204 || statusCode === 304) return 0;
  const length = new ResponseHead(response, headArgs).get('content-length');
  return length !== undefined && /^[0-9]+$/.test(length) ? Number(length) : Number.POSITIVE_INFINITY;
}

function bytesIn([chunk, encoding]: unknown[]): number {
  if (typeof chunk === 'string') {
    return Buffer.byteLength(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : undefined);
  }
  // Node takes those of another realm, too, and so do its buffers under jsdom.
  return ArrayBuffer.isView(chunk) ? chunk.byteLength : 0;
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
