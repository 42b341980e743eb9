/**
 * Whether a read that was lost under way is run once more elsewhere. A node that goes away is no reason to fail; a statement that takes its server down with
 * it must not be carried from one to the next.
 */
import { performance, setTimeout } from '../clock.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isRecoveryConflict, isTooLong, refusesSerializable, wasTooIdle } from '../postgres/errors.js';
import { settledWithin } from './abort.js';
import type { Placement } from './placement.js';

const POLL_MILLIS = 20;
/** A server that is starting, stopping or recovering says so. */
const NOT_NOW = '57P03';
/** What a server that hangs answers: it is no life of any server, and so counts as gone. */
const SILENT = 'silent';

/**
 * After the first loss always; after another one only when the server itself is gone, and not merely the connection: no statement stops a
 * postmaster. On each node once.
 * @param lostOn nodes lost under earlier runs @returns those and this one, or `undefined` when the error is final
 */
export async function lostAgain(
  fleet: Fleet,
  { node, connection }: Placement,
  error: unknown,
  lostOn: ReadonlySet<Node> | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<Node> | undefined> {
  // What the caller gave as his reason says nothing of the server.
  if (signal?.aborted === true) return undefined;
  const isLoss = connection.isLost;
  const { wasGivenUp, wasAbandoned } = connection;
  // What was closed here, since nothing came on it any more, says nothing of the server, nor of the statement.
  if (isLoss && wasGivenUp) return lostOn ?? new Set();
  if (isLoss) lostUnder(node, error, 'read');
  const isOfReplica = node.role === 'replica' && (isRecoveryConflict(error) || refusesSerializable(error));
  // Whether its other connections are as old is found out on the library's own.
  if (isOfReplica && refusesSerializable(error)) node.observe().catch(() => undefined);
  if (!(isLoss || isOfReplica) || isTooLong(error) || lostOn?.has(node) === true) return undefined;
  if (lostOn !== undefined && lostOn.size > 0 && isLoss) {
    const state = await stateOf(fleet, node, connection.identity.server);
    // One that answers on a new connection had not been hung up by the statement: its old connections were silent.
    if (state !== 'gone' && !(state === 'answers' && wasAbandoned)) return undefined;
  }
  return new Set(lostOn).add(node);
}

/** Tells a node that a statement's connection was lost. A bound that its user has set is no fault of the server's, unless that does not answer, either. */
export function lostUnder(node: Node, error: unknown, what: 'read' | 'write'): void {
  if (isTooLong(error) || wasTooIdle(error)) node.observe().catch(() => undefined);
  else node.failed(`a connection was lost under a ${what}`);
}

async function stateOf({ settings }: Fleet, node: Node, server: string): Promise<'gone' | 'answers' | 'starting'> {
  const giveUpAt = performance.now() + settings.hangMillis;
  for (;;) {
    let answer: unknown = SILENT;
    await settledWithin(
      node.refresh().then(
        () => {
          answer = node.observation?.identity.server;
        },
        (error: unknown) => {
          answer = error;
        },
      ),
      giveUpAt - performance.now(),
    );
    if (typeof answer === 'string') return answer === server ? 'answers' : 'gone';
    if (answer !== undefined && codeOf(answer) !== NOT_NOW) return 'gone';
    if (performance.now() >= giveUpAt) return 'starting';
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLIS));
  }
}
