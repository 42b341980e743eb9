/**
 * Reads definitions of views, functions and conditions: the SQL of them as facts, the rest as
 * words. Each is read once for a judgement, however often that is interrupted. It judges nothing.
 */
import type { Facts } from './facts.js';
import type { Grammar, Token } from './grammar.js';
import type { Turn } from './turn.js';
import { factsOf } from './walk.js';

/** In characters. A longer definition is not even asked for. */
export const MAX_DEFINITION_LENGTH = 2 ** 16;

export class DefinitionReader {
  readonly #grammar: Grammar;
  readonly #turn: Turn;
  readonly #facts = new Map<string, Facts | undefined>();
  readonly #tokens = new Map<string, readonly Token[] | undefined>();

  constructor(grammar: Grammar, turn: Turn) {
    this.#grammar = grammar;
    this.#turn = turn;
  }

  /**
   * `undefined` for a text that is too long, or that the grammar does not know.
   * @throws Interruption
   */
  facts(text: string): Facts | undefined {
    return this.#read(this.#facts, text, () => factsOf(this.#grammar.parse(text)));
  }

  /**
   * The words of a body that is no SQL; `undefined` where it cannot be read. @throws Interruption
   */
  tokens(text: string): readonly Token[] | undefined {
    return this.#read(this.#tokens, text, () => this.#grammar.tokens(text));
  }

  /** The facts of definitions take far more room than their texts. */
  forget(): void {
    this.#facts.clear();
    this.#tokens.clear();
  }

  #read<T>(known: Map<string, T | undefined>, text: string, read: () => T): T | undefined {
    if (text.length > MAX_DEFINITION_LENGTH) return undefined;
    if (known.has(text)) return known.get(text);
    if (!this.#grammar.isWhole) this.#turn.interrupt();
    this.#turn.reads(text.length);
    let found: T | undefined;
    try {
      found = read();
    } catch {
      // It stays unknown.
    }
    known.set(text, found);
    return found;
  }
}

/** A condition, or a list of default arguments, as a statement. */
export function expressionText(expression: string): string {
  return `select ${expression}`;
}

/**
 * The body of a function in SQL as statements: it may also be one that PostgreSQL has parsed
 * already.
 */
export function bodyText(body: string): string {
  const atomic = /^\s*begin\s+atomic\s([\s\S]*?)\s*end\s*$/i.exec(body)?.[1];
  const returned = /^\s*return\s([\s\S]*)$/i.exec(body)?.[1];
  return atomic ?? (returned === undefined ? body : `select ${returned}`);
}
