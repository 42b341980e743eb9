/**
 * What statements leave on their connection that later reads go by, as far as their texts say.
 * Pure: it follows one connection through its transactions, and knows of settings that cannot
 * change an answer. What a function sets within, no text says.
 */

/** `control` stands for BEGIN, COMMIT and their like within a text of several statements. */
export type Effect =
  | { readonly kind: 'set' | 'reset'; readonly name: string }
  | {
      readonly kind:
        | 'reset-all'
        | 'discard-all'
        | 'discard-temporary'
        | 'temporary'
        | 'library'
        | 'unknown'
        | 'control';
    };

export const NO_EFFECTS: readonly Effect[] = [];
/** The effects of a text that cannot be read. */
export const UNKNOWN_EFFECTS: readonly Effect[] = [{ kind: 'unknown' }];
/** The name of a setting whose name only its values tell. */
export const ANY_SETTING = '*';

/**
 * Settings that change neither which rows a read returns nor how they are written. They say who
 * asks, how long it may take, which messages come, and how writes are made.
 */
const NEUTRAL = new Set(
  `application_name statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout deadlock_timeout
  client_connection_check_interval tcp_keepalives_idle tcp_keepalives_interval tcp_keepalives_count tcp_user_timeout client_min_messages
  synchronous_commit check_function_bodies default_tablespace default_table_access_method`.split(/\s+/),
);
/** RESET ALL leaves them. */
const NOT_IN_ALL = new Set(['role', 'session_authorization']);

/** Whether reads may go on as if it had not run. */
export function isNeutral(effects: readonly Effect[]): boolean {
  return effects.length > 0 && effects.every((effect) => 'name' in effect && NEUTRAL.has(effect.name));
}

/** Whether something may be left by it that reads go by. */
export function mayBind(effects: readonly Effect[]): boolean {
  return effects.some((effect) => {
    if (effect.kind === 'set') return !NEUTRAL.has(effect.name);
    return effect.kind === 'temporary' || effect.kind === 'library' || effect.kind === 'unknown';
  });
}

/** How a statement has ended. */
export interface Ending {
  readonly isSingle: boolean;
  readonly hasFailed: boolean;
  /** Whether a transaction is open afterwards. */
  readonly isOpen: boolean;
  /** The command that the server says has run last. */
  readonly command: string | undefined;
}

interface Left {
  readonly names: ReadonlySet<string>;
  readonly hasTemporary: boolean;
  readonly hasLibrary: boolean;
  readonly isUnknown: boolean;
}

const NOTHING: Left = { names: new Set(), hasTemporary: false, hasLibrary: false, isUnknown: false };

export class SessionState {
  #left = NOTHING;
  /** What the open transaction has found. */
  #before: Left | undefined;
  /** All that it may have left at any time, for going back to one of its savepoints. */
  #ever = NOTHING;

  /** Whether it follows a transaction, so that every statement's end counts. */
  get isInTransaction(): boolean {
    return this.#before !== undefined;
  }

  /**
   * @param isAsBefore whether the server reports that setting, and its value is the one that the
   * connection began with
   */
  holds(isAsBefore: (name: string) => boolean): boolean {
    const { names, hasTemporary, hasLibrary, isUnknown } = this.#left;
    if (hasTemporary || hasLibrary || isUnknown) return true;
    for (const name of names) if (!isAsBefore(name)) return true;
    return false;
  }

  /** @param effects in their order */
  ran(effects: readonly Effect[], { isSingle, hasFailed, isOpen, command }: Ending): void {
    const before = this.#left;
    const isMixed = !isSingle && effects.some(({ kind }) => kind === 'control');
    // Some of it may have been committed, and some not: what it may have left counts, and what it
    // may have undone does not.
    if (isMixed) this.#left = effects.reduce((left, effect) => either(left, after(left, effect)), this.#left);
    else if (!hasFailed) this.#left = effects.reduce(after, this.#left);
    this.#ever = either(this.#ever, this.#left);
    if (command === 'ROLLBACK' && isSingle && !hasFailed) {
      if (isOpen) this.#left = this.#ever;
      else if (this.#before !== undefined) this.#left = this.#before;
    }
    if (!isOpen) {
      this.#before = undefined;
      this.#ever = NOTHING;
    } else if (this.#before === undefined) {
      this.#before = before;
      this.#ever = either(before, this.#left);
    } else if (command === 'COMMIT' && isSingle) this.#before = this.#left;
  }
}

function after(left: Left, effect: Effect): Left {
  switch (effect.kind) {
    case 'set':
      return NEUTRAL.has(effect.name) ? left : { ...left, names: new Set(left.names).add(effect.name) };
    case 'reset':
      return { ...left, names: only(left.names, (name) => name !== effect.name) };
    case 'reset-all':
      return { ...left, names: only(left.names, (name) => NOT_IN_ALL.has(name)) };
    case 'discard-all':
      return { ...NOTHING, hasLibrary: left.hasLibrary };
    case 'discard-temporary':
      return { ...left, hasTemporary: false };
    case 'temporary':
      return { ...left, hasTemporary: true };
    case 'library':
      return { ...left, hasLibrary: true };
    case 'unknown':
      return { ...left, isUnknown: true };
    case 'control':
      return left;
  }
}

function either(one: Left, other: Left): Left {
  if (one === other) return one;
  return {
    names: new Set([...one.names, ...other.names]),
    hasTemporary: one.hasTemporary || other.hasTemporary,
    hasLibrary: one.hasLibrary || other.hasLibrary,
    isUnknown: one.isUnknown || other.isUnknown,
  };
}

function only(names: ReadonlySet<string>, stays: (name: string) => boolean): ReadonlySet<string> {
  return new Set([...names].filter(stays));
}
