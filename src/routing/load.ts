/** What a node has under way, from this process: now, and as a rule. Counting costs next to nothing, since every statement is counted. */

/** Statements that the usual number goes by: it must not follow chance, nor come late. */
const INERTIA = 64;

export class Load {
  /** Statements under way. */
  count = 0;
  /** How many mostly are, when another one begins. */
  usual = 0;

  add(): void {
    this.usual += (this.count - this.usual) / INERTIA;
    this.count++;
  }

  remove(): void {
    this.count--;
  }
}
