/** Tells that PostgreSQL's grammar cannot be loaded: once, and only when somebody listens. */
import { wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import type { Publisher } from '../publisher.js';

export class MissingGrammar {
  readonly #publisher: Publisher;
  #isTold = false;

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  tell(cause: unknown): void {
    if (this.#isTold || !this.#publisher.wants('warning')) return;
    this.#isTold = true;
    const message = `PostgreSQL's grammar cannot be loaded (${wordFor(cause)}): query, explain and cluster.pool() take every statement for a write and send it to the primary, until a later try succeeds. Deploy all files that your bundler has written, or keep pg-ladder out of the bundle: see https://pg-ladder.github.io/pg-ladder/guide/bundlers`;
    this.#publisher.publish('warning', becauseOf(cause, { code: 'grammar', message }));
  }
}
