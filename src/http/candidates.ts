/**
 * What may be a token in text from outside: cookies, headers, what a store has kept. It takes any
 * text, however long, in one pass over it, and believes none of it: what has no token's form is
 * counted and never takes the place of what has.
 */

/**
 * More than fit into a request's head of 16 kB, which is Node's bound: below that, whatever else is
 * sent displaces no real one.
 */
const MAX_TOKENS = 512;
/** In the place of a token: the sender has none, and wants the answer's. */
const NOTHING = '-';

export class Candidates {
  readonly #isToken: (text: unknown) => text is string;
  readonly #tokens = new Set<string>();
  #malformedCount = 0;

  constructor(isToken: (text: unknown) => text is string) {
    this.#isToken = isToken;
  }

  /** Each once, in the order in which they came. */
  get tokens(): readonly string[] {
    return [...this.#tokens];
  }

  /** Pieces that have no token's form, as far as they are counted. */
  get malformedCount(): number {
    return this.#malformedCount;
  }

  /**
   * Takes what stands between dots, commas, blanks and tabs; anything but text is malformed as a
   * whole.
   */
  add(text: unknown): void {
    if (typeof text !== 'string') {
      this.#count();
      return;
    }
    let start = 0;
    for (let at = 0; at <= text.length; at++) {
      if (at < text.length && !isSeparator(text.charCodeAt(at))) continue;
      if (at > start) this.#addPiece(text, start, at);
      start = at + 1;
    }
  }

  #addPiece(text: string, start: number, end: number): void {
    // The text itself where it is all there is.
    const piece = text.slice(start, end);
    if (piece === NOTHING) return;
    if (!this.#isToken(piece)) this.#count();
    else if (this.#tokens.size < MAX_TOKENS) this.#tokens.add(piece);
  }

  #count(): void {
    if (this.#malformedCount < MAX_TOKENS) this.#malformedCount++;
  }
}

function isSeparator(code: number): boolean {
  // Dot, comma, blank, tab.
  return code === 46 || code === 44 || code === 32 || code === 9;
}
