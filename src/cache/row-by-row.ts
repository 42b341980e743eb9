/**
 * Finds loops that ask row by row: the same statement, again and again in one session, each time with
 * other values. No cache mends them. It tells of each statement once, and only when somebody listens.
 */
import { CallingContext } from '../async-context.js';
import type { Publisher } from '../publisher.js';
import type { SessionScope } from '../session/scope.js';
import { TextCache } from '../statements/text-cache.js';
import type { CachedText } from './texts.js';

/** So often in a row it is a loop. */
const LOOP_COUNT = 50;
/** A session that pauses so long goes on with something else. */
const PAUSE_MILLIS = 1_000;

interface Run {
  text: CachedText;
  count: number;
  /** What it was last asked with. */
  key: string;
  at: number;
}

export class RowByRow {
  readonly #publisher: Publisher;
  readonly #runs = new WeakMap<SessionScope, Run>();
  readonly #told = new TextCache<true>();

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  /** A session reads. @param key of the statement with its values @param now our monotonic clock */
  record(scope: SessionScope, text: CachedText, key: string, now: number): void {
    // Outside of sessions all calls of the process would count as one loop.
    if (scope.trace === undefined || !this.#publisher.wants('warning')) return;
    const run = this.#runs.get(scope);
    if (run === undefined || run.text !== text || now - run.at > PAUSE_MILLIS) {
      this.#runs.set(scope, { text, count: 1, key, at: now });
      return;
    }
    if (run.key !== key) run.count++;
    run.key = key;
    run.at = now;
    if (run.count === LOOP_COUNT) this.#tell(text);
  }

  #tell({ digest }: CachedText): void {
    if (this.#told.get(digest) !== undefined) return;
    this.#told.set(digest, true);
    const message =
      `one session has read it ${LOOP_COUNT} times in a row, each time with other values: ` +
      'ask for all rows at once, as with "where id = any($1)"';
    this.#publisher.publish('warning', { code: 'n-plus-one', message, digest }, new CallingContext());
  }
}
