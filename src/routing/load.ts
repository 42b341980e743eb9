/** What a node has under way, from this process: now, and as a rule. Counting costs next to nothing, since every statement is counted. */

/** Statements that the usual number goes by: it must not follow chance, nor come late. */
const INERTIA = 64;

export class Load {
  /** Statements under way. */
  count = 0;
  /** How many of them were sent, and do not wait for a connection. */
  #sentCount = 0;
  /** How many mostly are, when another one begins. */
  usual = 0;

  add(): void {
    this.usual += (this.count - this.usual) / INERTIA;
    this.count++;
  }

  /** One more is sent. @returns how many are now */
  sent(): number {
    return ++this.#sentCount;
  }

  /** So many of those that were sent are over. */
  over(count: number): void {
    this.#sentCount -= count;
  }

  remove(): void {
    this.count--;
  }
}
