/**
 * Prints decisions on stderr for a process that is started with `NODE_DEBUG=pg-ladder`. It decides
 * nothing, and prints only what it is given: no payload carries SQL, values or connection strings.
 */
import { debuglog } from 'node:util';
import { printable } from './printable.js';

export class DecisionLog {
  readonly #log = debuglog('pg-ladder');
  /** Looked at once, so that a process without it pays nothing. */
  readonly isOn: boolean = this.#log.enabled;

  /** One line: what happened, and its fields in their order. */
  print(event: string, fields: object): void {
    const parts = Object.entries(fields).map(([name, value]) => `${name}=${shown(value)}`);
    this.#log('%s', `${event} ${parts.join(' ')}`);
  }
}

function shown(value: unknown): string {
  // Thousandths of a millisecond say enough.
  if (typeof value === 'number') return String(Math.round(value * 1_000) / 1_000);
  const text = printable(String(value));
  return /^[^\s"]+$/.test(text) ? text : JSON.stringify(text);
}
