/** Which names are CTEs at a place in a statement. A CTE hides a relation of the same name. */
/** Names of CTEs, with those of the statements around. */
export class Scope {
  readonly #outer: Scope | undefined;
  readonly #names = new Set<string>();

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  has(name: string): boolean {
    return this.#names.has(name) || this.#outer?.has(name) === true;
  }

  add(name: string): void {
    this.#names.add(name);
  }
}

export const NO_NAMES = new Scope();
