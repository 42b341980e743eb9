/**
 * Whether a read that was lost under way is run once more elsewhere. A node that goes away is no reason to fail; a statement that takes its server down with
 * it must not be carried from one to the next.
 */

import { performance, setTimeout } from '../clock.js';
import { settledWithin } from '../deadline.js';
import { saying } from '../errors.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isRecoveryConflict, isTooLong, refusesSerializable, wasTooIdle } from '../postgres/errors.js';
import type { Attempt } from './attempt.js';
import type { Request } from './request.js';

const POLL_MILLIS = 20;
/** A server that is starting, stopping or recovering says so. */
const NOT_NOW = '57P03';
/** What a server that hangs answers: it is no life of any server, and so counts as gone. */
const SILENT = 'silent';

/**
 * Whether the request is run once more: after the first loss always; after another one only when the server
 * itself is gone, and not merely the connection: no statement stops a postmaster. On each node once. The request
 * remembers which nodes were lost under it.
 */
export async function lostAgain(attempt: Attempt, connection: DataConnection, error: unknown): Promise<boolean> {
  const { request, node } = attempt;
  const { lostOn, signal, context } = request;
  // What the caller gave as his reason says nothing of the server.
  if (signal?.aborted === true) return false;
  const isLoss = connection.isLost;
  const { wasGivenUp, wasAbandoned } = connection;
  if (isLoss && wasGivenUp) {
    // What was closed here, since nothing came on it any more, says nothing of the server, nor of the statement.
    if (!mayRunAgain(request, error, true)) return false;
    request.lostOn ??= new Set();
    return true;
  }
  if (isLoss) lostUnder(node, error, 'read');
  const isOfReplica = node.role === 'replica' && (isRecoveryConflict(error) || refusesSerializable(error));
  // Whether its other connections are as old is found out on the library's own.
  if (isOfReplica && refusesSerializable(error)) node.probe.observe().catch(() => undefined);
  if (!(isLoss || isOfReplica) || isTooLong(error) || lostOn?.has(node) === true) return false;
  if (lostOn !== undefined && lostOn.size > 0 && isLoss) {
    const state = await stateOf(context.fleet, node, connection.identity.server);
    // One that answers on a new connection had not been hung up by the statement: its old connections were silent.
    if (state !== 'gone' && !(state === 'answers' && wasAbandoned)) return false;
  }
  if (!mayRunAgain(request, error, isLoss)) return false;
  request.lostOn = new Set(lostOn).add(node);
  return true;
}

/**
 * Whether a read may be sent once more: draws on the budget for that. Where that is empty, the error that the read fails with
 * says so.
 * @param isLoss whether the read was lost with its connection
 */
export function mayRunAgain(request: Request, error: unknown, isLoss: boolean): boolean {
  if (!request.context.retries.draw(isLoss)) {
    saying(error, ' (it was not run again: the retry budget is empty)');
    return false;
  }
  request.rerunCount++;
  return true;
}

/** Tells a node that a statement's connection was lost. A bound that its user has set is no fault of the server's, unless that does not answer, either. */
export function lostUnder(node: Node, error: unknown, what: 'read' | 'write'): void {
  if (isTooLong(error) || wasTooIdle(error)) node.probe.observe().catch(() => undefined);
  else node.health.failed(`a connection was lost under a ${what}`);
}

async function stateOf({ settings }: Fleet, node: Node, server: string): Promise<'gone' | 'answers' | 'starting'> {
  const giveUpAt = performance.now() + settings.hangMillis;
  for (;;) {
    let answer: unknown = SILENT;
    await settledWithin(
      node.probe.refresh().then(
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
