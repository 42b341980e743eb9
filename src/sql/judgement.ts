/** What a statement or an object is found to be, and how several findings become one. Pure. */
import { needPrimary, safeVolatile, serverDirected, sessionState, volatileBuiltIns } from './built-ins.js';
import type { StatementClass } from './facts.js';
import type { Name } from './tree.js';

/** What a statement or an object is found to be. */
export interface Judgement {
  readonly class: StatementClass;
  /** What decided, in words. */
  readonly because: string;
  /** A name that is not in the catalogue, which may be out of date. */
  readonly unknown?: string;
  /** Set when "it only reads" is a declaration of the user, not proven. */
  readonly isDeclared?: true;
}

export const SAFE: Judgement = { class: 'read', because: 'nothing in it writes' };
export const DECLARED: Judgement = { ...SAFE, isDeclared: true };

export function builtIn(name: string): Judgement {
  if (sessionState.has(name)) return { class: 'session', because: `${name}() belongs to its session` };
  if (serverDirected.has(name)) return { class: 'write', because: `${name}() tells of the server that is asked` };
  if (needPrimary.has(name) || (volatileBuiltIns.has(name) && !safeVolatile.has(name))) {
    return { class: 'write', because: `${name}() needs the primary` };
  }
  return SAFE;
}

/** The first of the worst; asks for no more once it is a write. */
export function worstOf(judgements: Iterable<Judgement>): Judgement {
  let worst = SAFE;
  for (const judgement of judgements) {
    if (judgement.class === 'write') return judgement;
    const isWorse = judgement.class === 'session' ? worst.class === 'read' : worst === SAFE && judgement.isDeclared;
    if (isWorse === true) worst = judgement;
  }
  return worst;
}

/** Judges one row after the other, as the caller asks for them. */
export function* each<Row>(rows: Iterable<Row>, judge: (row: Row) => Judgement): Generator<Judgement> {
  for (const row of rows) yield judge(row);
}

export function within(what: string, judgement: Judgement): Judgement {
  return judgement === SAFE ? SAFE : { ...judgement, because: `${what}: ${judgement.because}` };
}

export function unknown(what: string, { schema, name }: Name): Judgement {
  const full = schema === undefined ? name : `${schema}.${name}`;
  return { class: 'write', because: `${what} ${full} is not known`, unknown: full };
}
