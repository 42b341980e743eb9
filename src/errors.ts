/**
 * Every error that the library raises by itself. pg's own errors are never replaced: they pass through, in two places with some words more,
 * or stand as `cause` where the library must say more than pg can know.
 */

import { types } from 'node:util';
import { MAX_MESSAGE_LENGTH, printable } from './printable.js';

/** The stable codes of {@link LadderError}. Match on these, never on messages. */
export type LadderErrorCode =
  | 'LADDER_INVALID_OPTIONS'
  | 'LADDER_CLOSED'
  | 'LADDER_DISCOVERY_FAILED'
  | 'LADDER_FOREIGN_NODE'
  | 'LADDER_FORGET_INCOMPLETE'
  | 'LADDER_NO_CANDIDATE'
  | 'LADDER_NODE_UNREACHABLE'
  | 'LADDER_NO_PRIMARY'
  | 'LADDER_NOT_PRIMARY'
  | 'LADDER_OVERLOADED'
  | 'LADDER_READ_ONLY_TRANSACTION'
  | 'LADDER_TIMEOUT'
  | 'LADDER_TRANSACTION_ABORTED'
  | 'LADDER_TRANSACTION_ENDED'
  | 'LADDER_TRANSACTION_LEFT_OPEN'
  | 'LADDER_TWO_PRIMARIES'
  | 'LADDER_WRITE_OUTCOME_UNKNOWN'
  | 'LADDER_WRONG_ROLE'
  | 'LADDER_POSITION_UNAVAILABLE';

// `import` and `require` load different copies of this file; the registered symbol is what both agree on.
const brand = Symbol.for('pg-ladder.error');

/** The base of all errors of the library; `code` is stable, `cause` is pg's error where there is one. */
export class LadderError extends Error {
  readonly code: LadderErrorCode;
  /** With `LADDER_OVERLOADED`: after how many milliseconds another try is likely to find a turn. `undefined` otherwise. */
  readonly retryAfterMillis: number | undefined;
  readonly [brand] = true;

  constructor(code: LadderErrorCode, message: string, options?: ErrorOptions & { retryAfterMillis?: number }) {
    // It may quote what others have written, such as a server's name.
    super(printable(message, MAX_MESSAGE_LENGTH), options);
    this.name = 'LadderError';
    this.code = code;
    this.retryAfterMillis = options?.retryAfterMillis;
  }

  /** As `util.inspect` shows it, but for where it happened and its cause: an error of somebody else's may say anything. */
  toJSON(): object {
    const { name, code, message, retryAfterMillis } = this;
    return { name, code, message, retryAfterMillis };
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

/** `LADDER_DISCOVERY_FAILED`: why nothing could be found out; the caller keeps the servers that it has. Its message is published: nothing that others have written goes into it unchecked. */
export function discoveryFailed(message: string, cause?: unknown): LadderError {
  return new LadderError('LADDER_DISCOVERY_FAILED', message, cause === undefined ? undefined : { cause });
}

/** `LADDER_TIMEOUT`, of a wait within the library. */
export function noAnswer(millis: number): LadderError {
  return new LadderError('LADDER_TIMEOUT', `no answer within ${millis} ms`);
}

/** `LADDER_CLOSED`, of a statement that waited when the cluster was closed for good; of a read also when it was lost on a server, and waited for another one. */
export function closedMeanwhile(cluster: string): LadderError {
  return new LadderError(
    'LADDER_CLOSED',
    `the cluster was closed ("${cluster}") while a statement waited for a server: a write was not sent, a read has no answer`,
  );
}

/** Of whatever realm: those of Node's own modules are of another one in Jest, and in other sandboxes. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || types.isNativeError(value);
}

const told = Symbol.for('pg-ladder.told');

/** Marks an error of somebody else's whose message has been freed of all that must not be printed. */
export function toldAsItIs<E extends Error>(error: E): E {
  return Object.defineProperty(error, told, { value: true });
}

/** What may be told of an error that may be anybody's, and say anything: the library's own message, else a code or a name that is a plain word. */
export function wordFor(error: unknown): string {
  // Another copy's, or somebody's own with its brand, may say anything.
  if (error instanceof LadderError) return printable(String(error.message));
  if (isError(error) && told in error) return printable(error.message);
  const { code, name, cause } = Object(error) as { code?: unknown; name?: unknown; cause?: unknown };
  // `fetch` says that it has failed; why is in the cause.
  const words = [(Object(cause) as { code?: unknown }).code, code, name];
  return words.find((word): word is string => typeof word === 'string' && /^\w{1,64}$/.test(word)) ?? 'it failed';
}

/** pg's own error, whose message says more: that is what people read. Its code and all its fields stay as they are. */
export function saying<E>(error: E, more: string): E {
  if (isError(error) && !Object.isFrozen(error) && !error.message.endsWith(more)) error.message += more;
  return error;
}

/** `LADDER_INVALID_OPTIONS`: an option is missing, unknown or out of range; the message names it. */
export function invalidOptions(message: string, cause?: unknown): LadderError {
  return new LadderError('LADDER_INVALID_OPTIONS', message, { cause });
}
