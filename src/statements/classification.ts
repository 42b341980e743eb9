/**
 * What a text is found to be, and what is said of texts that are not parsed. Of the facts it keeps
 * only what is needed again: they may be far larger than the text.
 */
import type { Beginning, Facts } from '../sql/facts.js';
import type { Hint } from '../sql/hint.js';
import type { Judgement } from '../sql/judgement.js';
import { type Effect, NO_EFFECTS, UNKNOWN_EFFECTS } from '../sql/session-state.js';
import { definesSomething, openingOf } from '../sql/statement-start.js';

/** What a text is, and what its leading comment asks for. */
export interface Classification extends Judgement {
  readonly hint: Hint | undefined;
  /** Whether it is one statement: only such a one is ever run a second time. */
  readonly isSingle: boolean;
  /** Whether it changes what the catalogue says. */
  readonly isDefinition: boolean;
  /** Whether its connection is the same afterwards, and does not matter to it. */
  readonly isDetached: boolean;
  /** See {@link Facts.isAttached}; so are the next four. */
  readonly isAttached: boolean;
  readonly leavesState: boolean;
  readonly effects: readonly Effect[];
  readonly isTransactionControl: boolean;
  readonly begins: Beginning | undefined;
  /**
   * Tables that a plan of it may lead through, partitions included; `undefined` while the catalogue
   * is not known.
   */
  readonly tableCount: number | undefined;
}

/** What the grammar and the catalogue say of a text. */
export interface Finding {
  /** `undefined` for what the grammar does not know, or cannot read. */
  readonly facts: Facts | undefined;
  readonly judgement: Judgement;
}

/**
 * In characters. The grammar takes a millisecond for 4 kB; what is inserted in bulk says at once
 * what it is.
 */
const LONG_TEXT = 10_000;
const LONG_WRITE = {
  class: 'write',
  because: 'it begins as one',
  isSingle: true,
  isDefinition: false,
  isDetached: false,
  isAttached: true,
  leavesState: false,
  effects: NO_EFFECTS,
  isTransactionControl: false,
  begins: undefined,
  tableCount: undefined,
} as const;

/** Of a text that is no SQL, as far as the grammar can tell. */
export const UNREAD = 'the grammar does not know it';
export const NO_GRAMMAR: Judgement = { class: 'write', because: 'the grammar cannot be loaded here' };
export const NOT_LOADED: Judgement = { class: 'write', because: 'the catalogue has not been read yet' };
export const NOT_READ: Judgement = {
  class: 'write',
  because: 'what it leads to in the catalogue has not been read yet',
};
export const REFUSED: Judgement = { class: 'write', because: 'a replica refused one like it' };

/** Whether a judgement is one for now: the text is judged again when it comes again. */
export function isForNow(judgement: Judgement): boolean {
  const isMissing = judgement === NO_GRAMMAR || judgement === NOT_LOADED || judgement === NOT_READ;
  return isMissing || judgement.unknown !== undefined;
}

/** The classification of a long text that begins as a write; `undefined` for any other text. */
export function longWrite(text: string, hint: Hint | undefined): Classification | undefined {
  const isLongWrite = text.length >= LONG_TEXT && /^\s*(?:insert|update|delete|merge)\b/i.test(text) && isPlain(text);
  return isLongWrite ? { ...LONG_WRITE, hint } : undefined;
}

export function classificationOf(
  text: string,
  { facts, judgement }: Finding,
  hint: Hint | undefined,
  tableCount: number | undefined,
): Classification {
  const { statementCount = 0, isAttached = true, leavesState = true } = facts ?? {};
  const { isTransactionControl = false, begins, effects = unreadEffects(text, judgement) } = facts ?? {};
  const { class: is, because, isDeclared } = judgement;
  return {
    class: is,
    because,
    hint,
    leavesState,
    effects: effects.length === 0 ? NO_EFFECTS : effects,
    isSingle: statementCount === 1,
    isDefinition: facts?.isDefinition ?? definesSomething(text),
    isDetached: is === 'read' && isDeclared !== true && facts?.isDetached === true && !text.includes('\0'),
    isAttached,
    isTransactionControl,
    begins,
    tableCount,
  };
}

/** What a text leaves that was not read: nothing, where a look is enough to tell. */
function unreadEffects(text: string, judgement: Judgement): readonly Effect[] {
  const seemsPlain =
    judgement === NO_GRAMMAR &&
    /^(?:select|insert|update|delete|merge|values|table|with)\b/i.test(openingOf(text)) &&
    !/\btemp|u&/i.test(text);
  return seemsPlain && isPlain(text) ? NO_EFFECTS : UNKNOWN_EFFECTS;
}

/** Whether it is one statement, and changes no setting by a function. */
function isPlain(text: string): boolean {
  const end = text.indexOf(';');
  return (end === -1 || end >= text.trimEnd().length - 1) && !/set_config/i.test(text);
}
