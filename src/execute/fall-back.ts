/**
 * A read that no replica can serve, on its way to the primary: within the primary's budget, and only as long as no replica has become fresh
 * enough meanwhile.
 */

import { performance } from '../clock.js';
import { Deadline } from '../deadline.js';
import { closedMeanwhile, LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import type { Caller } from '../isolation/priority-limiter.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';
import { codeOf, isGone } from '../postgres/errors.js';
import type { ExecutionContext } from './context.js';
import type { Placement } from './open-series.js';
import { mayTry, onPrimary, throwIfGivenUp } from './primary.js';
import type { Request } from './request.js';

/** Why a read falls back. */
export interface Fallback {
  /** Why no replica serves it. */
  readonly why: Reason;
  /** The word for it in events and stats. */
  readonly reason: Reason;
  /** Replicas that must not be tried meanwhile. */
  readonly except: ReadonlySet<Node> | undefined;
  /** What a replica has to meet that would serve it after all. */
  readonly terms: ReadTerms;
}

/** @returns `undefined` when replicas should be looked at once more */
export async function fallBack(request: Request, fallback: Fallback): Promise<Placement | undefined> {
  const { context, giveUpAt, signal, asker } = request;
  const { fleet, limiter } = context;
  const { why, reason } = fallback;
  // At a cold start nothing is known of the replicas yet, and without any the primary is not the last rung but the only one.
  if (why === 'cold-start' || fleet.replicas.length === 0) return onPrimary(request, { reason, mayWrite: false });

  if (!mayTry(fleet) && (await primaryOrReplica(request, fallback)) === 'replica') return undefined;
  const caller = asker.caller();
  if (!limiter.tryEnter(caller) && (await turnOrReplica(request, fallback, caller)) === 'replica') return undefined;
  try {
    // Waiting for another primary is done above, where it holds no turn.
    return await inTurn(context, caller, () =>
      onPrimary(request, { reason, mayWrite: false, giveUpAt: fleet.awakeMillis }),
    );
  } catch (error) {
    const isLeft = isGone(error) || codeOf(error) === 'LADDER_NO_PRIMARY';
    const isFirst = !fleet.primary.health.hasAnswered && mayTry(fleet);
    if (!isLeft || signal?.aborted === true || isFirst || fleet.awakeMillis >= giveUpAt) throw error;
    return undefined;
  }
}

/** Finds a connection to the primary in a turn that was taken, and is given back with it. */
export async function inTurn(
  { limiter }: ExecutionContext,
  caller: Caller,
  find: () => Promise<Placement>,
): Promise<Placement> {
  const takenAt = performance.now();
  const endTurn = (): void => limiter.leave(performance.now() - takenAt, caller);
  try {
    const placement = await find();
    placement.attempt.endTurn = endTurn;
    return placement;
  } catch (error) {
    endTurn();
    throw error;
  }
}

/** Waits for a server that takes writes, or for a replica that is fresh enough without one. */
async function primaryOrReplica(request: Request, fallback: Fallback): Promise<'primary' | 'replica'> {
  const { context, giveUpAt, signal } = request;
  const { fleet } = context;
  const isFresh = freshReplica(request, fallback);
  const isEither = (): boolean => mayTry(fleet) || isFresh();
  await fleet.monitor.until(isEither, giveUpAt - fleet.awakeMillis, 'primary', signal);
  throwIfGivenUp(fleet, signal);
  if (mayTry(fleet)) return 'primary';
  if (isFresh()) return 'replica';
  throw (fleet.isClosed ? undefined : fleet.leadership.vacancy) ?? closedMeanwhile(fleet.publisher.cluster);
}

/** Waits for a turn under the budget, or for a replica that is fresh enough by now. */
async function turnOrReplica(request: Request, fallback: Fallback, caller: Caller): Promise<'turn' | 'replica'> {
  const { context, signal, priority, giveUpAt } = request;
  const { fleet, limiter } = context;
  if (limiter.isFull(priority, caller)) {
    limiter.refuse();
    throw overloaded(request, fallback, 'it cannot wait for a turn, since enough reads do (maxWaiting)');
  }
  const millis = giveUpAt - fleet.awakeMillis;
  // It ends before the call's own deadline does: then the error can say what was waited for.
  const waiting = new Deadline({ millis, signal, late: () => undefined, isSharp: true });
  try {
    const turn = limiter.enter(priority, caller, waiting.signal);
    const replica = fleet.monitor.until(freshReplica(request, fallback), millis, 'anything', waiting.signal);
    const first = await Promise.race([turn.then(() => 'turn' as const), replica]);
    waiting.end();
    // Both may have come at once: the turn is worth more, since it is there already.
    if (await turn) return 'turn';
    // One that was fresh a moment ago may be lost by now: while there is time, that is no overload.
    const isOver = signal?.aborted === true || fleet.isClosed || fleet.awakeMillis >= giveUpAt;
    if (first === true || (first === false && !isOver)) return 'replica';
  } finally {
    waiting.close();
  }
  if (fleet.isClosed) throw closedMeanwhile(fleet.publisher.cluster);
  limiter.refuse();
  if (signal?.aborted === true && codeOf(signal.reason) !== 'LADDER_TIMEOUT') throw signal.reason;
  throw overloaded(request, fallback, `no turn within ${Math.round(performance.now() - request.startedAt)} ms`);
}

function freshReplica({ context }: Request, { terms, except }: Fallback): () => boolean {
  const { selection } = context.fleet;
  return () => selection.choose(terms, performance.now(), except).node !== undefined;
}

function overloaded({ context, signal }: Request, { why }: Fallback, what: string): LadderError {
  const { estimateMillis: retryAfterMillis, stats } = context.limiter;
  return new LadderError(
    'LADDER_OVERLOADED',
    `no replica of cluster "${context.fleet.publisher.cluster}" could serve the read (${why}), and the primary takes ${stats.limit} of these at a time (primaryReadBudget): ${what}, ` +
      `${stats.waiting} others wait; a turn is likely in about ${retryAfterMillis} ms`,
    { retryAfterMillis, cause: signal?.reason },
  );
}
