/** Where a statement of a pool's client runs, by what it is and by what the client is in. Pure. */
import { isNeutral } from '../sql/session-state.js';
import type { Classification } from '../statements/classifier.js';
import type { Intent } from './access.js';

/**
 * `fresh`: by itself, on whichever server is fresh. `held`: on the replica's connection that the client holds.
 * `begin`: on a replica's connection that the client holds from here on. `aside`: on the client's own connection
 * to the primary, which binds nothing that follows. `primary`: there, and whatever follows, too.
 */
export type Course = 'fresh' | 'held' | 'begin' | 'aside' | 'primary';

/** What the client is in. */
export interface Situation {
  readonly intent: Intent;
  /** Whether it holds a replica's connection. */
  readonly isHolding: boolean;
  /** Whether it keeps to its own connection. */
  readonly isBound: boolean;
}

export function courseOf(found: Classification, { intent, isHolding, isBound }: Situation): Course {
  if (intent === 'write') return 'primary';
  if (isHolding) return 'held';
  const isVouched = intent === 'read' && found.class !== 'session';
  if (isVouched || (found.class === 'read' && !found.isAttached)) return 'fresh';
  const beginsHere = found.begins === 'read-only' || (intent === 'read' && found.begins === 'plain');
  if (beginsHere || (intent === 'read' && found.begins === undefined)) return 'begin';
  return isNeutral(found.effects) && !isBound ? 'aside' : 'primary';
}
