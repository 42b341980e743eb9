/** What keeps statements of a node's role away from it, in words. */
import { LadderError } from '../errors.js';
import type { PrimaryTrail } from '../freshness/primary-trail.js';
import type { Observation } from './observation.js';

/** What must be known of a node to say what is wrong with it. */
export interface Suspect {
  readonly name: string;
  readonly role: 'primary' | 'replica';
  readonly observation: Observation | undefined;
  readonly lsn: bigint | undefined;
  readonly lastError: unknown;
}

/** @returns `undefined` when nothing is wrong */
export function problemOf(
  { name, role, observation, lsn, lastError }: Suspect,
  trail: PrimaryTrail,
): LadderError | undefined {
  const is = `node "${name}"`;
  if (observation === undefined) {
    return new LadderError('LADDER_NODE_UNREACHABLE', `${is} ${silence(lastError)}; see cause`, { cause: lastError });
  }
  const { clusterId, history } = trail;
  if (clusterId !== undefined && observation.identity.clusterId !== clusterId) {
    const ids = `expected system identifier ${clusterId}, got ${observation.identity.clusterId}`;
    return new LadderError('LADDER_FOREIGN_NODE', `${is} belongs to another cluster than the primary: ${ids}`);
  }
  if (role === 'primary') {
    if (!observation.inRecovery) return undefined;
    return new LadderError('LADDER_NOT_PRIMARY', `${is} is a replica, and no node of the cluster takes writes`);
  }
  if (!observation.inRecovery) {
    const where = `on timeline ${observation.timeline}, where the primary is on ${history.timeline}`;
    return new LadderError(
      'LADDER_WRONG_ROLE',
      `${is} takes writes beside the primary (${where}): rebuild it as a replica`,
    );
  }
  if (lsn !== undefined) return undefined;
  const why = trail.isAmbiguous
    ? `two servers have written timeline ${history.timeline}, and nothing tells whose it is`
    : `wait, or grant pg_read_all_stats`;
  const follows = `is not shown to follow the primary's timeline ${history.timeline}`;
  return new LadderError('LADDER_NODE_UNREACHABLE', `${is} ${follows}: ${why}`);
}

/** Its own words may hold anything, and where they are shown there may be no cause. */
function silence(error: unknown): string {
  const { code } = Object(error) as { code?: unknown };
  if (typeof code !== 'string' || !/^\w{1,64}$/.test(code)) return 'does not answer';
  return /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E')
    ? `gives no connection (${code})`
    : `does not answer (${code})`;
}
