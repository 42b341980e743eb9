/** Whose session and transaction a call belongs to. */
import type { SessionScope } from '../session/scope.js';
import type { Transaction } from './open-transaction.js';

/**
 * Whose call it is: what an async context carries. On Node 20 and 22 that is a plain property of every promise, timer and socket that is made in it: who logs one
 * of them logs this, and so nothing here gives away more than it must.
 */
export interface Context {
  readonly scope: SessionScope;
  readonly transaction: Transaction | undefined;
}

/** Runs something in an async context of its own. */
export type Within = <T>(context: Context, fn: () => T) => T;
