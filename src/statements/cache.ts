/**
 * One entry per text, for as long as the text is in use. Tracing tools append a comment to each
 * text that never comes again: such texts share one entry, which has no name to be prepared under.
 */
import { MAX_TEXT_LENGTH } from '../sql/readable.js';
import { withoutTrailingComment } from '../sql/trailing-comment.js';
import type { Definitions } from './profile.js';
import { Statement } from './statement.js';
import { TextCache } from './text-cache.js';

/** Texts that differ in a trailing comment only. */
interface Commented {
  /** It never has a name: a name stands for one text, and the server shall see each comment. */
  readonly statement: Statement;
  /**
   * The latest ones. A comment that comes again says nothing new: its text gets an entry of its
   * own.
   */
  readonly comments: string[];
}

/** Places in a program that run the same statement, each with a comment of its own. */
const COMMENTED_COUNT = 8;
/** In characters. A longer comment is taken for one that does not come again. */
const MAX_COMMENT_LENGTH = 200;

export class StatementCache {
  readonly #exact = new TextCache<Statement>();
  readonly #commented = new TextCache<Commented>();
  readonly #definitions: Definitions;
  /** One call asks for its text several times in a row. */
  #lastText: string | undefined;
  #last: Statement | undefined;

  constructor(definitions: Definitions) {
    this.#definitions = definitions;
  }

  /** What is known of a text; `undefined` for one that is new. */
  find(text: string): Statement | undefined {
    if (text === this.#lastText) return this.#last;
    const found = this.#exact.get(text) ?? this.#sharedBy(text);
    if (found !== undefined) this.#remember(text, found);
    return found;
  }

  #sharedBy(text: string): Statement | undefined {
    const plain = plainOf(text);
    return plain === undefined ? undefined : this.#commented.get(plain)?.statement;
  }

  /** The entry of a text by itself, whatever comment it ends with. */
  exact(text: string): Statement {
    return this.#exact.get(text) ?? this.#add(text);
  }

  /** The entry of all texts that are this one with a trailing comment. */
  shared(plain: string): Statement {
    return this.#commentedOf(plain.trimEnd()).statement;
  }

  /** A text has come once more. */
  recordUse(text: string): Statement {
    const statement = this.#used(text);
    this.#remember(text, statement);
    return statement;
  }

  #used(text: string): Statement {
    const known = this.#exact.get(text);
    if (known !== undefined) {
      known.profile.recordUse(text);
      return known;
    }
    const plain = plainOf(text);
    if (plain === undefined) {
      const statement = this.#add(text, this.#commented.get(text.trimEnd())?.statement);
      statement.profile.recordUse(text);
      return statement;
    }
    const { statement: shared, comments } = this.#commentedOf(plain);
    const isShort = text.length - plain.length <= MAX_COMMENT_LENGTH;
    // A copy: what is cut out of a text holds all of it.
    const comment = isShort ? Buffer.from(text.slice(plain.length)).toString() : undefined;
    if (comment === undefined || !comments.includes(comment)) {
      if (comment !== undefined && comments.push(comment) > COMMENTED_COUNT) comments.shift();
      return shared;
    }
    const statement = this.#add(text, shared);
    statement.profile.comesAgain(text);
    return statement;
  }

  #commentedOf(plain: string): Commented {
    const known = this.#commented.get(plain);
    if (known !== undefined) return known;
    const statement = new Statement(plain, this.#definitions, this.#exact.get(plain));
    const commented: Commented = { statement, comments: [] };
    this.#commented.set(plain, commented);
    return commented;
  }

  #add(text: string, alike?: Statement): Statement {
    const statement = new Statement(text, this.#definitions, alike);
    this.#exact.set(text, statement);
    return statement;
  }

  #remember(text: string, statement: Statement): void {
    if (text.length > MAX_TEXT_LENGTH) return;
    this.#lastText = text;
    this.#last = statement;
  }
}

/** The text without the comment at its end, and without the space that tools put before it; `undefined` where there is none. */
function plainOf(text: string): string | undefined {
  return withoutTrailingComment(text)?.trimEnd();
}
