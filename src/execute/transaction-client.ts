/**
 * The client that a transaction hands out: pg's own in all but two methods. Its statements are told of and
 * looked at before they are sent, and `release` waits for the end of the transaction. pg's client itself is
 * never changed.
 */

import process from 'node:process';
import type { PoolClient, QueryConfig, QueryResult } from 'pg';
import type { LadderError } from '../errors.js';
import type { DataConnection } from '../nodes/data-connection.js';
import { callbackOf, isSubmittable, promised, textOf } from '../postgres/arguments.js';
import { promiseClassOf } from '../postgres/internals.js';
import { preparedQuery, preparedWith } from '../postgres/prepared-query.js';
import type { Attempt } from './attempt.js';
import type { Transaction } from './open-transaction.js';

type Callback = (error: Error | null | undefined, result?: QueryResult) => void;

export interface TransactionClient {
  readonly client: PoolClient;
  /** Whether its user has asked for its connection to be closed. */
  readonly isUnwanted: boolean;
}

export function transactionClient(
  attempt: Attempt,
  { client: own }: DataConnection,
  transaction: Transaction,
): TransactionClient {
  let isUnwanted = false;
  const query = (asked: unknown, values?: unknown, callback?: unknown): unknown => {
    if (asked === null || asked === undefined) return own.query(asked as never);
    const { refusal } = transaction;
    if (refusal !== undefined) return refuse(refusal, asked, values, callback);
    transaction.sends(textOf(asked));
    if (isSubmittable(asked)) {
      return attempt.follow(own, asked, () => own.query(asked as never, values as never, callback as never));
    }
    const sent = attempt.begin(asked);
    const over = (error: Error | null, result: QueryResult | undefined): void => {
      attempt.end(sent, error, result?.rowCount ?? null);
      if (error !== null) transaction.failed(error);
      else if (result !== undefined) attempt.mark(result);
    };
    /** Under what was ended the connection went away, and that is no error of the server's. */
    const failure = <E>(error: E): E | LadderError => (error ? (transaction.expiry?.() ?? error) : error);
    const given = callbackOf(asked, values, callback);
    if (given !== undefined) {
      const told: Callback = (error, result) => {
        over(error ?? null, result);
        given(failure(error), result);
      };
      const plain =
        typeof asked === 'object'
          ? preparedWith(preparedQuery(asked as QueryConfig), { callback: told } as Partial<QueryConfig>)
          : asked;
      own.query(plain as never, (typeof values === 'function' ? undefined : values) as never, told as never);
      return undefined;
    }
    if (typeof asked === 'string') {
      // One promise less than pg's own and one behind it.
      return promised<QueryResult>(promiseClassOf(own), (answer) => {
        const told: Callback = (error, result) => {
          over(error ?? null, result);
          answer(failure(error), result);
        };
        own.query(asked, values as never, told as never);
      });
    }
    const running = own.query(asked as never, values as never) as unknown as Promise<QueryResult>;
    running.then(
      (result) => over(null, result),
      (error: Error) => over(error, undefined),
    );
    return running;
  };
  const release = (destroy?: unknown): void => {
    isUnwanted ||= destroy !== undefined && destroy !== false;
  };
  const client = inFront(own, { query, release });
  return {
    client,
    get isUnwanted() {
      return isUnwanted;
    },
  };
}

/** As pg answers on a client that has ended. */
function refuse(refusal: LadderError, asked: unknown, values: unknown, callback: unknown): unknown {
  if (isSubmittable(asked)) {
    process.nextTick(() => asked.handleError(refusal, undefined));
    return asked;
  }
  const given = callbackOf(asked, values, callback);
  if (given === undefined) return Promise.reject(refusal);
  process.nextTick(given, refusal);
  return undefined;
}

/**
 * An object that is another one by all that can be told, with methods of its own in front. A proxy, so that
 * whatever is set, listened to or kept in private fields is the other one's.
 */
function inFront<T extends object>(other: T, own: Record<string, unknown>): T {
  let methods: Map<unknown, unknown> | undefined;
  const front: T = new Proxy(other, {
    get(target, key) {
      if (typeof key === 'string' && Object.hasOwn(own, key)) return own[key];
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function' || key === 'constructor') return value;
      methods ??= new Map();
      let method = methods.get(value);
      if (method === undefined) {
        method = (...given: unknown[]): unknown => {
          const result: unknown = Reflect.apply(value, target, given);
          return result === target ? front : result;
        };
        methods.set(value, method);
      }
      return method;
    },
    set(target, key, value) {
      if (typeof key === 'string' && Object.hasOwn(own, key)) own[key] = value;
      else return Reflect.set(target, key, value);
      return true;
    },
  });
  return front;
}
