/**
 * PostgreSQL's own grammar, loaded on first use: who never asks what a statement is never pays for
 * it. It reads nothing that is too long or nested too deeply. An instance that failed in any other
 * way than by telling of an error in the text is never used again: what it says later is worth
 * nothing. Where none can be loaded, it is tried again, but not for each statement.
 */
import { performance } from '../clock.js';
import type { instantiate } from './grammar-program.js';
import { readable } from './readable.js';

/** A node of the tree, as PostgreSQL names it: an object with the node's type as its only key. */
export type Tree = unknown;

/** A token of a text: lower case where it was not quoted. */
export interface Token {
  readonly text: string;
  readonly isQuoted: boolean;
}

type Module = Awaited<ReturnType<typeof instantiate>>;

/** The grammar has read the text, and says what is wrong with it. */
class TextError extends Error {}

/** The text is not given to the grammar at all. */
export class TooLongError extends Error {
  constructor() {
    super('it is too long or too deeply nested to be read');
  }
}

/** PostgreSQL's major version that the grammar is of: another one's fingerprints differ. */
export const GRAMMAR_VERSION = 18;

/** What an instance has from the beginning. What it has once taken it never gives back. */
const MAX_MEMORY_BYTES = 128 * 2 ** 20;
const FINGERPRINT = /^[0-9a-f]{16}$/;
/** After a load that failed, doubled with each one that follows. */
const RETRY_MILLIS = 1_000;
const MAX_RETRY_MILLIS = 60_000;

interface Failure {
  readonly error: unknown;
  readonly count: number;
  /** By our monotonic clock. */
  readonly retryAt: number;
}

export class Grammar {
  #module: Module | undefined;
  #renewing: Promise<void> | undefined;
  #failure: Failure | undefined;

  /** @throws what keeps it from being loaded */
  static async load(): Promise<Grammar> {
    const grammar = new Grammar();
    await grammar.renewed();
    return grammar;
  }

  /** Whether it can read; what is read while it cannot is thrown back. */
  get isWhole(): boolean {
    return this.#module !== undefined;
  }

  /**
   * Resolves when it can read.
   * @throws what keeps an instance from being made, or has kept it a short while ago
   */
  async renewed(): Promise<void> {
    if (this.#module !== undefined) return;
    if (this.#renewing === undefined && this.#failure !== undefined && performance.now() < this.#failure.retryAt)
      throw this.#failure.error;
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  async #renew(): Promise<void> {
    try {
      const program = await import('./grammar-program.js');
      this.#module = await program.instantiate({ print: () => undefined, printErr: () => undefined });
      this.#failure = undefined;
    } catch (error) {
      const count = (this.#failure?.count ?? 0) + 1;
      const retryAt = performance.now() + Math.min(MAX_RETRY_MILLIS, RETRY_MILLIS * 2 ** (count - 1));
      this.#failure = { error, count, retryAt };
      throw error;
    }
  }

  /**
   * The statements of a text. @throws the grammar's error when it is none, or {@link TooLongError}
   */
  parse(text: string): Tree[] {
    const tree = this.#read(text, parsed);
    return ((JSON.parse(tree) as { stmts?: { stmt: Tree }[] }).stmts ?? []).map(({ stmt }) => stmt);
  }

  /**
   * Equal for texts that differ in their constants only: never a key for answers. `undefined` where
   * the text is no SQL.
   */
  fingerprint(text: string): string | undefined {
    try {
      const fingerprint = this.#read(text, (module, at) => taken(module, module._wasm_fingerprint(at)));
      return FINGERPRINT.test(fingerprint) ? fingerprint : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * The words and signs of a text, comments left out.
   * @throws when the text cannot be read, or {@link TooLongError}
   */
  tokens(text: string): Token[] {
    const scan = this.#read(text, (module, at) => taken(module, module._wasm_scan(at)));
    if (!scan.startsWith('{')) throw new TextError(scan);
    return (JSON.parse(scan) as { tokens: { text: string; tokenName: string }[] }).tokens
      .filter(({ tokenName }) => tokenName !== 'SQL_COMMENT' && tokenName !== 'C_COMMENT')
      .map(({ text: raw }) => {
        const isQuoted = raw.startsWith('"') || raw.startsWith("'");
        return { text: isQuoted ? raw.slice(1, -1) : raw.toLowerCase(), isQuoted };
      });
  }

  #read(text: string, run: (module: Module, at: number) => string): string {
    const read = readable(text);
    if (read === undefined) throw new TooLongError();
    const module = this.#module;
    if (module === undefined) throw new Error('the grammar is not loaded, or is being loaded anew');
    const { exitCode } = process;
    // Taken away, and given back only when nothing has gone wrong: where the stack is full, no
    // later step is sure to be taken.
    this.#module = undefined;
    try {
      const answer = withText(module, read, (at) => run(module, at));
      if (module.HEAPU8.length <= MAX_MEMORY_BYTES) this.#module = module;
      return answer;
    } catch (error) {
      if (error instanceof TextError) this.#module = module;
      // A program that gives up sets it.
      else process.exitCode = exitCode;
      throw error;
    }
  }
}

/** The text as pg sends it, and so as the server reads it. */
function withText(module: Module, text: string, run: (at: number) => string): string {
  const bytes = Buffer.from(`${text}\0`);
  const at = module._malloc(bytes.length);
  if (at === 0) throw new Error('the grammar has no memory left');
  module.HEAPU8.set(bytes, at);
  let answer: string;
  try {
    answer = run(at);
  } catch (error) {
    if (error instanceof TextError) module._free(at);
    throw error;
  }
  module._free(at);
  return answer;
}

function parsed(module: Module, text: number): string {
  const result = module._wasm_parse_query_raw(text);
  if (result === 0) throw new Error('the grammar has no memory left');
  // A PgQueryParseResult begins with the tree, what was printed, and the error.
  const error = module.getValue(result + 8, 'i32');
  const answer = module.UTF8ToString(module.getValue(error === 0 ? result : error, 'i32'));
  module._wasm_free_parse_result(result);
  if (error === 0) return answer;
  throw answer === 'out of memory' ? new Error(answer) : new TextError(answer);
}

function taken(module: Module, at: number): string {
  if (at === 0) throw new Error('the grammar has no memory left');
  const answer = module.UTF8ToString(at);
  module._wasm_free_string(at);
  return answer;
}
