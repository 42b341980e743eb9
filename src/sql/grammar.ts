/** PostgreSQL's own grammar, loaded on first use: who never asks what a statement is never pays for it. */
import type * as Library from 'libpg-query';

/** A node of the tree, as PostgreSQL names it: an object with the node's type as its only key. */
export type Tree = unknown;

/** A token of a text: lower case where it was not quoted. */
export interface Token {
  readonly text: string;
  readonly isQuoted: boolean;
}

export class Grammar {
  readonly #library: typeof Library;

  private constructor(library: typeof Library) {
    this.#library = library;
  }

  static async load(): Promise<Grammar> {
    const library = await import('libpg-query');
    await library.loadModule();
    return new Grammar(library);
  }

  /** The statements of a text. @throws the grammar's error when it is none, or too deeply nested */
  parse(text: string): Tree[] {
    return (this.#library.parseSync(text).stmts ?? []).map(({ stmt }) => stmt);
  }

  /** Equal for texts that differ in their constants only: never a key for answers. `undefined` where the text is no SQL. */
  fingerprint(text: string): string | undefined {
    try {
      return this.#library.fingerprintSync(text);
    } catch {
      return undefined;
    }
  }

  /** The words and signs of a text, comments left out. @throws when the text cannot be read */
  tokens(text: string): Token[] {
    return this.#library
      .scanSync(text)
      .tokens.filter(({ tokenName }) => tokenName !== 'SQL_COMMENT' && tokenName !== 'C_COMMENT')
      .map(({ text: raw }) => {
        const isQuoted = raw.startsWith('"') || raw.startsWith("'");
        return { text: isQuoted ? raw.slice(1, -1) : raw.toLowerCase(), isQuoted };
      });
  }
}
