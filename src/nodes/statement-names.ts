/**
 * The statements that one connection has prepared, by their exact text. A name is given when a text comes again, goes alone until the server has taken it,
 * and is closed when there are too many.
 */
import type { Profile } from '../sql/profile.js';

/** A plan is some ten kilobytes of the server's memory. */
const MAX_COUNT = 256;
const MAX_CHARACTERS = 1024 * 1024;

/** What pg keeps of the statements that a connection has prepared; it has no call to close one. */
interface Preparer {
  readonly parsedStatements: Record<string, string>;
  readonly submittedNamedStatements?: Record<string, string>;
  close(statement: { type: 'S'; name: string }): void;
}

export interface StatementName {
  readonly text: string;
  /** Whether the server has taken it. */
  isReady: boolean;
  /** Its columns as pg describes them; `undefined` where nobody has looked. */
  fields: unknown[] | undefined;
}

export class StatementNames {
  readonly #preparer: Preparer;
  readonly #names = new Map<Profile, StatementName>();
  #characters = 0;

  private constructor(preparer: Preparer) {
    this.#preparer = preparer;
  }

  /** `undefined` for a client that keeps no such statements: pg's native one. */
  static of(client: object): StatementNames | undefined {
    const { connection } = client as { connection?: Preparer };
    return connection?.parsedStatements === undefined ? undefined : new StatementNames(connection);
  }

  /** What to send it under: `undefined` for no name, since it may never come again, or its first use is under way. */
  use(profile: Profile): StatementName | undefined {
    const known = this.#names.get(profile);
    if (known !== undefined) return known.isReady ? known : undefined;
    if (profile.name === undefined || profile.length > MAX_CHARACTERS) return undefined;
    const name = { text: profile.name, isReady: false, fields: undefined };
    this.#characters += profile.length;
    this.#makeRoom();
    this.#names.set(profile, name);
    return name;
  }

  /**
   * A use of a name has been answered.
   * @returns whether the name itself was refused, so that nothing has happened
   */
  settle(profile: Profile, name: StatementName, error: unknown): boolean {
    const isFirst = !name.isReady;
    const isRefused = error !== null && isRefusalOf(name, error);
    name.isReady = error === null || !(isFirst || isRefused);
    // Somebody has closed it behind our back, and likely the others, too.
    if (isRefused && codeOf(error) === UNKNOWN_NAME) for (const [other] of this.#names) this.#forget(other);
    else if (!name.isReady && this.#names.get(profile) === name) this.#forget(profile);
    return isRefused;
  }

  #forget(profile: Profile): void {
    const name = this.#names.get(profile);
    if (name === undefined) return;
    this.#names.delete(profile);
    this.#characters -= profile.length;
    delete this.#preparer.parsedStatements[name.text];
    delete this.#preparer.submittedNamedStatements?.[name.text];
    // Closing one that does not exist is no error. What was sent under the name before is ahead of this.
    this.#preparer.close({ type: 'S', name: name.text });
  }

  #makeRoom(): void {
    for (const [profile, { isReady }] of this.#names) {
      if (this.#names.size < MAX_COUNT && this.#characters <= MAX_CHARACTERS) return;
      if (isReady) this.#forget(profile);
    }
  }
}

const UNKNOWN_NAME = '26000';
const NOT_SUPPORTED = '0A000';
/** Behind a pooler: somebody else has been on that server connection. */
const TAKEN_NAME = '42P05';

/** Its plan's columns have changed, or the server does not know it, or knows another one: found out before anything is run. */
function isRefusalOf(name: StatementName, error: unknown): boolean {
  const { routine, message } = error as { routine?: unknown; message?: unknown };
  if (codeOf(error) === NOT_SUPPORTED) return routine === 'RevalidateCachedQuery';
  return (codeOf(error) === UNKNOWN_NAME || codeOf(error) === TAKEN_NAME) && String(message).includes(`"${name.text}"`);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
