/**
 * One cluster's token of a response: when the head must wait for it, what it says, and what becomes
 * of writes that come later. How it leaves is decided in `answer.ts`.
 */

import type { IncomingMessage } from 'node:http';
import { setImmediate } from '../clock.js';
import { within } from '../deadline.js';
import { noAnswer, wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import type { CarriedSession } from '../session/carried-session.js';
import type { CarrierTools } from '../session/runner.js';
import { TokenKeeper } from '../token/keeper.js';
import { SEPARATOR } from '../token/order.js';
import type { BodyKeeper } from './held-response.js';
import type { CookieOptions } from './options.js';
import type { StoreAccess } from './store-access.js';

/** Where in a token's text its time begins: before it stands the position. */
const ISSUED_AT = 41;

/** How tokens leave: the same for all responses of one application. */
export interface ResponseRules<Request extends IncomingMessage> {
  readonly tools: CarrierTools;
  readonly store: StoreAccess<Request>;
  /** In small letters; `undefined`: none. */
  readonly header: string | undefined;
  readonly cookie: CookieOptions<Request> | undefined;
  readonly caching: 'private' | 'omit' | undefined;
  readonly positionTimeoutMillis: number;
}

export class ResponseToken<Request extends IncomingMessage> {
  readonly rules: ResponseRules<Request>;
  readonly #request: Request;
  readonly #session: CarriedSession;
  /** What the client holds already. */
  readonly #tokens: readonly string[];
  readonly #kept: TokenKeeper | undefined;
  readonly body: BodyKeeper | undefined;
  #value: string | undefined;
  #hasMovedOn = false;

  /** @param tokens that came with the request */
  constructor(rules: ResponseRules<Request>, request: Request, session: CarriedSession, tokens: readonly string[]) {
    this.rules = rules;
    this.#request = request;
    this.#session = session;
    this.#tokens = tokens;
    const { store } = rules;
    if (store.exists) {
      const put = (hasToken: () => void): Promise<void> => store.keep(session, request, hasToken);
      const kept = new TokenKeeper(put, () => session.sightCount);
      this.#kept = kept;
      this.body = { leaving: (isLast) => this.#leaving(kept, isLast), ended: () => this.#ended(kept) };
    }
    // Writes are counted from the first look at this.
    void session.pendingWriteCount;
  }

  get session(): CarriedSession {
    return this.#session;
  }

  ready(): Promise<void> | undefined {
    if (this.#session.pendingWriteCount === 0 && !savesAtItsEnd(this.#request)) return this.#settled();
    const settled = (): Promise<void> | undefined => this.#settled();
    return this.#withinBound(this.#writesOver()).then(settled, settled);
  }

  /** The head leaves now. @returns what it shall carry; `undefined`: nothing */
  leaves(): string | undefined {
    if (this.#hasMovedOn) this.#wroteLate();
    this.#session.whenMoved(() => this.#wroteLate());
    return this.#value;
  }

  /** Resolves when the response's value is known; `undefined` when there is nothing to tell. */
  #settled(): Promise<void> | undefined {
    if (!this.#session.hasMoved) return undefined;
    return this.#withinBound(this.#currentToken())
      .then(
        (token) => this.#valueOf(token as string),
        () => this.#valueWithoutPosition(),
      )
      .then((found) => {
        this.#value = found;
      });
  }

  async #currentToken(): Promise<string | undefined> {
    for (;;) {
      this.#hasMovedOn = false;
      this.#session.whenMoved(() => {
        this.#hasMovedOn = true;
      });
      const [token] = await Promise.all([this.#session.token(), this.#kept?.moved()]);
      // A write that came meanwhile belongs to it, too: the head has not left yet.
      if (!this.#hasMovedOn) return token;
    }
  }

  #writesOver(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => this.#session.whenWritesEnd(resolve));
    });
  }

  #leaving(kept: TokenKeeper, isLast: boolean): Promise<void> | undefined {
    const keeping = kept.keeping();
    const isBusy = isLast && this.#session.pendingWriteCount > 0;
    if (!isBusy && keeping === undefined) return undefined;
    const all = isBusy ? this.#writesOver().then(() => kept.keeping()) : keeping;
    return this.#withinBound(all as Promise<void>).catch(async () => {
      // A store that is late with tokens is late with primary-only tokens, too.
      if (kept.isAwaitingPosition) await this.#valueWithoutPosition().catch(() => undefined);
    });
  }

  #ended(kept: TokenKeeper): void {
    if (!kept.ended()) this.rules.store.late();
  }

  /** What the response carries; `undefined` when the client holds it already. */
  #valueOf(token: string): string | undefined {
    const pinnedBy = this.#session.pinnedBy();
    const hasMark = pinnedBy === undefined || this.#tokens.includes(pinnedBy);
    // A token of the same position that was refused here is of no use to the client.
    if (hasMark && this.#tokens.some((own) => isSamePosition(own, token) && this.#session.hasAccepted(own))) {
      return undefined;
    }
    // A primary-only token covers writes without a position: the client keeps it until it expires.
    return pinnedBy === undefined ? token : [pinnedBy, token].join(SEPARATOR);
  }

  /** The position was not known in time: a primary-only token stands in for it. */
  async #valueWithoutPosition(): Promise<string | undefined> {
    const { tools, store, positionTimeoutMillis } = this.rules;
    let mark: string;
    try {
      mark = this.#session.primaryOnlyToken();
    } catch (error) {
      const message = `an answer carries no token, since its subject could not be told: ${wordFor(error)}`;
      tools.warn(() => becauseOf(error, { code: 'subject', message }));
      return undefined;
    }
    tools.warn(() => ({
      code: 'position-late',
      message: `the primary did not tell within ${positionTimeoutMillis} ms where the request's writes have ended: its client reads on the primary for a while`,
    }));
    await this.#withinBound(store.put(this.#request, mark)).then(
      () => this.#kept?.marked(),
      () => undefined,
    );
    return mark;
  }

  /** The request wrote after the head had left: only a store can still tell its client. */
  #wroteLate(): void {
    const { tools, store } = this.rules;
    if (this.#kept === undefined || !store.isKeyed(this.#request)) {
      tools.warn(() => ({
        code: 'write-after-headers',
        message:
          'a request wrote after the head of its answer had left: no token of that answer covers it; write before, or use a TokenStore',
      }));
      return;
    }
    if (this.#kept.isFirstLate()) {
      tools.warn(() => ({
        code: 'write-after-end',
        message:
          'a request wrote after its answer had ended: the next request of its user may miss that; write before the end. Told once for an answer',
      }));
    }
    void this.#kept.moved();
  }

  #withinBound<T>(asked: Promise<T>): Promise<T> {
    const { positionTimeoutMillis: millis } = this.rules;
    return within(asked, millis, () => noAnswer(millis));
  }
}

/**
 * Whether express-session keeps the web session. It begins to save when the response ends, and asks
 * for the response's head before that is done.
 */
function savesAtItsEnd(request: IncomingMessage): boolean {
  return 'sessionStore' in request;
}

function isSamePosition(a: string, b: string): boolean {
  return a.slice(0, ISSUED_AT) === b.slice(0, ISSUED_AT);
}
