/**
 * The statements that one connection has prepared, by their exact text. A name is given when a text comes again, and goes alone until the server has taken it.
 * It is Parsed anew when its Parse is old, or older than a definition of ours: PostgreSQL keeps the types of its parameters for as long as it lives, whatever
 * becomes of the tables. Nothing is sent from here: what is to be closed goes ahead of the next statement under a name.
 */
import type { EventEmitter } from 'node:events';
import { serialize } from 'pg-protocol';

/** A plan is some ten kilobytes of the server's memory. */
const MAX_COUNT = 256;
const MAX_CHARACTERS = 1024 * 1024;
/** One that the server keeps for all values takes some 5 kB for each table and partition: so this is about 10 MB. */
const MAX_TABLES = 2_000;
/** So long after somebody's DDL a name may still mean what it meant before. */
const RENEWAL_MILLIS = 1_500;

/** What pg keeps of the statements that a connection has prepared; it tells of the server's BindComplete only those who listen. */
interface Preparer extends Pick<EventEmitter, 'on'> {
  readonly parsedStatements: Record<string, string>;
  readonly submittedNamedStatements?: Record<string, string>;
}

/** What is known of a text that may get a name; one object stands for one text. */
export interface Nameable {
  /** What it is prepared under; `undefined` as long as nothing says that it will come again. */
  readonly name: string | undefined;
  /** Of the text, in characters. */
  readonly length: number;
  /** Tables that a plan of it may lead through, partitions included; `undefined` while unknown. */
  readonly tableCount: number | undefined;
  /** Whether it may mean something else than at that time. */
  hasChangedSince(at: number): boolean;
}

export interface StatementName {
  readonly text: string;
  /** Our monotonic clock when it was sent to be Parsed; long ago for one that is to be Parsed anew. */
  parsedAt: number;
  /** Of its plan, as far as was known then. */
  readonly tableCount: number;
  /** Whether the server has taken it. */
  isReady: boolean;
  /** Its columns as pg describes them; `undefined` before the first look. */
  fields: unknown[] | undefined;
}

export class StatementNames {
  readonly #preparer: Preparer;
  readonly #names = new Map<Nameable, StatementName>();
  /** Given up, and not closed yet. */
  readonly #due = new Set<string>();
  #characters = 0;
  #tables = 0;
  /** Whether the statement that the server is at has got its values: from then on something may have happened. */
  #isBound = false;

  private constructor(preparer: Preparer) {
    this.#preparer = preparer;
    preparer.on('bindComplete', () => {
      this.#isBound = true;
    });
  }

  /** `undefined` for a client that keeps no such statements: pg's native one. */
  static of(client: object): StatementNames | undefined {
    const { connection } = client as { connection?: Preparer };
    if (connection?.parsedStatements === undefined || typeof connection.on !== 'function') return undefined;
    return new StatementNames(connection);
  }

  /**
   * What to send it under: `undefined` for no name, since it may never come again, or its first use is under way.
   * @param now our monotonic clock
   */
  use(profile: Nameable, now: number): StatementName | undefined {
    const known = this.#names.get(profile);
    if (known !== undefined && !known.isReady) return undefined;
    const isFresh = known !== undefined && now - known.parsedAt < RENEWAL_MILLIS;
    if (isFresh && !profile.hasChangedSince(known.parsedAt)) return known;
    const tableCount = profile.tableCount ?? 1;
    if (profile.name === undefined || profile.length > MAX_CHARACTERS || tableCount > MAX_TABLES) return undefined;
    // What was sent under it before is ahead of its being closed.
    const name = { text: profile.name, parsedAt: now, tableCount, isReady: false, fields: undefined };
    this.#drop(profile);
    this.#characters += profile.length;
    this.#tables += tableCount;
    this.#makeRoom(now);
    // The one that was Parsed last stands last.
    this.#names.set(profile, name);
    return name;
  }

  /** Whether something has to be closed ahead of a statement under that name. */
  hasAhead({ isReady }: StatementName): boolean {
    return !isReady || this.#due.size > 0;
  }

  /**
   * What closes the names that were given up, and that one if it is to be Parsed: to be sent now, ahead of a statement under it and of that one's Sync. The
   * server's word for it would end up in somebody else's answer otherwise. Closing what does not exist is no error.
   */
  ahead({ text, isReady }: StatementName): Buffer {
    if (!isReady) {
      this.#due.add(text);
      this.#unlearn(text);
    }
    const closes = [...this.#due].map((name) => serialize.close({ type: 'S', name }));
    this.#due.clear();
    return Buffer.concat(closes);
  }

  /** Whatever was sent before the next statement to be answered is over. */
  over(): void {
    this.#isBound = false;
  }

  /**
   * A use of a name has been answered: to be told while pg hands on the answer.
   * @returns whether the name may be to blame, and nothing has happened under it
   */
  settle(profile: Nameable, name: StatementName, error: unknown): boolean {
    const isFirst = !name.isReady;
    if (error === null) {
      name.isReady = true;
      return false;
    }
    const isRefused = !this.#isBound && (isRefusalOf(name, error) || (!isFirst && mayBeOfTypes(error)));
    // Somebody has closed it behind our back, and likely the others, too.
    if (isRefused && codeOf(error) === UNKNOWN_NAME) for (const [other] of this.#names) this.#forget(other);
    else if (isFirst && this.#names.get(profile) === name) this.#forget(profile);
    // What failed under it may not fail under a new one.
    name.parsedAt = Number.NEGATIVE_INFINITY;
    return isRefused;
  }

  #forget(profile: Nameable): void {
    const name = this.#drop(profile);
    if (name === undefined) return;
    this.#unlearn(name.text);
    this.#due.add(name.text);
  }

  #drop(profile: Nameable): StatementName | undefined {
    const name = this.#names.get(profile);
    if (name === undefined) return undefined;
    this.#names.delete(profile);
    this.#characters -= profile.length;
    this.#tables -= name.tableCount;
    return name;
  }

  /** pg Parses it when it comes again. */
  #unlearn(text: string): void {
    delete this.#preparer.parsedStatements[text];
    delete this.#preparer.submittedNamedStatements?.[text];
  }

  /** Those that are to be Parsed anew when they come again are worth nothing, and their plans take memory until then. */
  #makeRoom(now: number): void {
    for (const [profile, { isReady, parsedAt }] of this.#names) {
      const isOld = now - parsedAt >= RENEWAL_MILLIS;
      const hasRoom = this.#names.size < MAX_COUNT && this.#characters <= MAX_CHARACTERS && this.#tables <= MAX_TABLES;
      if (hasRoom && !isOld) return;
      if (isReady) this.#forget(profile);
    }
  }
}

const UNKNOWN_NAME = '26000';
const NOT_SUPPORTED = '0A000';
/** Behind a pooler: somebody else has been on that server connection. */
const TAKEN_NAME = '42P05';
/** Values that their type does not take, operators and columns that are not there, a type that is gone. */
const OF_TYPES = /^(?:22|42|XX000)/;

/** Its plan's columns have changed, or the server does not know it, or knows another one. */
function isRefusalOf(name: StatementName, error: unknown): boolean {
  const { routine, message } = error as { routine?: unknown; message?: unknown };
  if (codeOf(error) === NOT_SUPPORTED) return routine === 'RevalidateCachedQuery';
  return (codeOf(error) === UNKNOWN_NAME || codeOf(error) === TAKEN_NAME) && String(message).includes(`"${name.text}"`);
}

/** Whether it may be no error with other types: the server's, not one of pg's or of a user's parser. */
function mayBeOfTypes(error: unknown): boolean {
  return OF_TYPES.test(String(codeOf(error))) && 'severity' in (error as object);
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
