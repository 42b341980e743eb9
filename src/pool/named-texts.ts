/** The texts of a client's prepared statements: pg lets them run by their names alone, and here the next one may run elsewhere. */
import { type PreparedQuery, preparedWith } from '../postgres/prepared-query.js';

/** Users that make names without end say the text with each. */
const MAX_NAMES = 1_000;

export class NamedTexts {
  readonly #texts = new Map<string, string>();

  /** With its text, where that was said before. */
  complete(query: PreparedQuery): PreparedQuery {
    if (typeof query === 'string' || query.name === undefined) return query;
    const { name, text } = query;
    if (typeof text === 'string') {
      if (this.#texts.size < MAX_NAMES) this.#texts.set(name, text);
      return query;
    }
    const known = this.#texts.get(name);
    return known === undefined ? query : preparedWith(query, { text: known });
  }
}
