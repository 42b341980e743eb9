/** What statements have left on a connection that later reads go by, and what its server reports of its settings. */
import type { Client } from 'pg';
import { listenForSettings } from '../postgres/internals.js';
import { type Ending, SessionState, UNKNOWN_EFFECTS } from '../sql/session-state.js';
import type { Classification } from '../statements/classifier.js';

/** The server's word on each setting that it reports, kept up to date. */
export type ReportedSettings = ReadonlyMap<string, string>;

export function reportedBy(client: Client): ReportedSettings {
  const reported = new Map<string, string>();
  listenForSettings(client, (name, value) => reported.set(name.toLowerCase(), value));
  return reported;
}

export class SettingsLeft {
  #state = new SessionState();
  readonly #reported: ReportedSettings;
  /** How they were when the first statement came. */
  #first: ReportedSettings | undefined;

  constructor(reported: ReportedSettings) {
    this.#reported = reported;
  }

  /** A statement is about to be sent. */
  before(): void {
    this.#first ??= new Map(this.#reported);
  }

  /** Whether something was left that later reads go by. */
  get hold(): boolean {
    return this.#state.holds((name) => this.#reported.has(name) && this.#reported.get(name) === this.#first?.get(name));
  }

  forget(): void {
    this.#state = new SessionState();
  }

  /** A statement has ended. @returns whether it may have left or taken back something */
  ran(found: Classification | undefined, outcome: Omit<Ending, 'isSingle'>): boolean {
    const effects = found === undefined ? UNKNOWN_EFFECTS : found.effects;
    if (effects.length === 0 && !outcome.isOpen && !this.#state.isInTransaction) return false;
    this.#state.ran(effects, { ...outcome, isSingle: found?.isSingle === true });
    return true;
  }
}
