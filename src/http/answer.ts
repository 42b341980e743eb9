/**
 * What a response carries of all the clusters that its request has sessions with: a cookie for each,
 * and one header for all. It makes no token, see `response-token.ts`, and holds nothing back, see
 * `held-response.ts`.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SEPARATOR } from '../token/order.js';
import { forbidSharing, mayBeShared } from './caching.js';
import { cookieNameFor, cookieText } from './cookie.js';
import { type AnswerKeeper, type BodyKeeper, holdResponse } from './held-response.js';
import { ResponseHead } from './response-head.js';
import type { ResponseRules, ResponseToken } from './response-token.js';
import { isTold, settleSharing } from './sharing.js';

const ANSWER = Symbol('pg-ladder.answer');

type Answering = ServerResponse & { [ANSWER]?: Answer };

interface Carried {
  readonly rules: ResponseRules<IncomingMessage>;
  readonly cookieName: string | undefined;
  readonly value: string;
}

/** Lets a response carry a cluster's token. Mounted twice for one cluster, the first one does. */
export function carryIn(response: Answering, request: IncomingMessage, token: ResponseToken<IncomingMessage>): void {
  let answer = response[ANSWER];
  if (answer === undefined) {
    answer = new Answer(request, response);
    response[ANSWER] = answer;
    holdResponse(response, answer);
  }
  answer.add(token);
}

class Answer implements AnswerKeeper {
  body: BodyKeeper | undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #tokens: ResponseToken<IncomingMessage>[] = [];

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  add(token: ResponseToken<IncomingMessage>): void {
    if (this.#tokens.some(({ rules }) => rules.tools === token.rules.tools)) return;
    this.#tokens.push(token);
    const bodies = this.#tokens.flatMap(({ body }) => (body === undefined ? [] : [body]));
    const [first, ...others] = bodies;
    this.body = others.length === 0 ? first : ofAll(bodies);
  }

  ready(): Promise<void> | undefined {
    const [first, ...others] = this.#tokens;
    return others.length === 0 ? first?.ready() : whenAll(this.#tokens.map((token) => token.ready()));
  }

  complete(args: unknown[] | undefined): unknown[] | undefined {
    const all = this.#carried();
    const areTold = this.#tokens.some(({ session }) => isTold(session));
    if (all.length === 0 && !areTold) return args;
    const head = new ResponseHead(this.#response, args);
    if (areTold) this.#settleSharing(head, all);
    if (all.length === 0) return head.args;
    const isShared = mayBeShared(head, this.#request.method);
    const carried = isShared ? all.filter(({ rules }) => rules.caching !== 'omit') : all;
    if (carried.length === 0) return head.args;
    if (isShared) forbidSharing(head);
    this.#setHeaders(head, carried);
    for (const { rules, cookieName, value } of carried) {
      const { cookie, tools } = rules;
      if (cookie === undefined || cookieName === undefined) continue;
      head.add('set-cookie', cookieText(cookieName, value, this.#request, cookie, tools.tokenLifetimeMillis));
    }
    return head.args;
  }

  #settleSharing(head: ResponseHead, leaving: readonly Carried[]): void {
    const carriages = this.#tokens.map(({ session, rules }) => {
      const { tools, header, cookie, caching } = rules;
      const isLeaving = caching !== 'omit' && leaving.some((one) => one.rules === rules);
      return { session, tools, header, hasCookie: cookie !== undefined, isLeaving };
    });
    settleSharing(head, this.#request, carriages);
  }

  /** Every cluster has a cookie of its own: answers of other requests may be on their way. */
  #carried(): Carried[] {
    const names = new Set<string>();
    return this.#tokens.flatMap((token) => {
      const { rules } = token;
      const value = token.leaves();
      const cookieName = rules.cookie && cookieNameFor(this.#request, rules.cookie, names, rules.tools.name);
      if (cookieName !== undefined) names.add(cookieName);
      return value === undefined ? [] : [{ rules, cookieName, value }];
    });
  }

  /** A header belongs to one answer: it has the tokens of all. */
  #setHeaders(head: ResponseHead, carried: readonly Carried[]): void {
    const values = new Map<string, string[]>();
    for (const { rules, value } of carried) {
      const { header } = rules;
      if (header === undefined || this.#request.headers[header] === undefined) continue;
      values.set(header, [...(values.get(header) ?? []), value]);
    }
    for (const [header, tokens] of values) head.set(header, tokens.join(SEPARATOR));
  }
}

function ofAll(bodies: readonly BodyKeeper[]): BodyKeeper {
  return {
    leaving: (isLast) => whenAll(bodies.map((body) => body.leaving(isLast))),
    ended: () => {
      for (const body of bodies) body.ended();
    },
  };
}

function whenAll(asked: readonly (Promise<void> | undefined)[]): Promise<void> | undefined {
  const waiting = asked.filter((each) => each !== undefined);
  return waiting.length === 0 ? undefined : Promise.allSettled(waiting).then(() => undefined);
}
