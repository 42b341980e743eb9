/** What keeps statements of a node's role away from it, in words. */
import { LadderError, wordFor } from '../errors.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import { InvalidAnswer, refusesSerializable } from '../postgres/errors.js';
import type { Observation } from './observation.js';

/** What must be known of a node to say what is wrong with it. */
interface Suspect {
  readonly name: string;
  readonly role: 'primary' | 'replica';
  readonly observation: Observation | undefined;
  readonly lsn: bigint | undefined;
  readonly health: { readonly lastError: unknown };
  readonly claim: { readonly doubt: string | undefined };
  readonly position: { readonly hasStrayed: boolean };
}

/** @returns `undefined` when nothing is wrong */
export function faultOf(
  { name, role, observation, lsn, health, claim, position }: Suspect,
  history: PrimaryHistory,
): LadderError | undefined {
  const { lastError } = health;
  const { doubt } = claim;
  const is = `node "${name}"`;
  if (observation === undefined) {
    return new LadderError('LADDER_NODE_UNREACHABLE', `${is} ${silence(lastError)}; see cause`, { cause: lastError });
  }
  const { clusterId, timelines } = history;
  if (clusterId !== undefined && observation.identity.clusterId !== clusterId) {
    const ids = `expected system identifier ${clusterId}, got ${observation.identity.clusterId}`;
    return new LadderError('LADDER_FOREIGN_NODE', `${is} belongs to another cluster than the primary: ${ids}`);
  }
  if (!observation.inRecovery && doubt !== undefined) {
    return new LadderError('LADDER_WRONG_ROLE', `${is} says that it is the primary, and is not believed: ${doubt}`);
  }
  if (role === 'primary') {
    if (!observation.inRecovery) return undefined;
    return new LadderError('LADDER_NOT_PRIMARY', `${is} is a replica, and no node of the cluster takes writes`);
  }
  if (!observation.inRecovery) {
    const where = `on timeline ${observation.timeline}, where the primary is on ${timelines.timeline}`;
    return new LadderError(
      'LADDER_WRONG_ROLE',
      `${is} takes writes beside the primary (${where}): rebuild it as a replica`,
    );
  }
  if (lsn !== undefined) return undefined;
  if (position.hasStrayed) {
    const says = 'says that it has replayed more log than the primary had written';
    return new LadderError('LADDER_NODE_UNREACHABLE', `${is} ${says}, and gets no reads: rebuild it`);
  }
  const why = history.isAmbiguous
    ? `two servers have written timeline ${timelines.timeline}, and nothing tells whose it is`
    : `wait, or grant pg_read_all_stats`;
  const follows = `is not shown to follow the primary's timeline ${timelines.timeline}`;
  return new LadderError('LADDER_NODE_UNREACHABLE', `${is} ${follows}: ${why}`);
}

/** What pg and this library say without a code. */
const KNOWN_WORDS =
  /^(?:Connection terminated|timeout expired|no answer within|the connection ended|the cluster is closed|The server does not support SSL|There was an error establishing an SSL|SASL: )/;

/** What may be told of why a server does not answer: the words of servers, sockets and pg. Those of others, such as of a function that gives the password, may hold it. */
export function wordsOf(error: unknown): string {
  const { message, severity, syscall } = Object(error) as { message?: unknown; severity?: unknown; syscall?: unknown };
  if (typeof message !== 'string') return 'no answer';
  if (error instanceof InvalidAnswer) return message;
  const isKnown = typeof severity === 'string' || typeof syscall === 'string' || KNOWN_WORDS.test(message);
  return isKnown ? message : wordFor(error);
}

/** Its own words may hold anything, and where they are shown there may be no cause. */
function silence(error: unknown): string {
  if (error instanceof InvalidAnswer) return `is not believed (${error.message})`;
  if (refusesSerializable(error))
    return "refuses all statements as a replica, since default_transaction_isolation is serializable (onSerializableDefault: 'repeatableRead' reads there all the same)";
  const { code } = Object(error) as { code?: unknown };
  if (typeof code !== 'string' || !/^\w{1,64}$/.test(code)) return 'does not answer';
  return /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E')
    ? `gives no connection (${code})`
    : `does not answer (${code})`;
}
