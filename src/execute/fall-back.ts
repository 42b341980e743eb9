/**
 * A read that no replica can serve, on its way to the primary: within the primary's budget, and only as long as no replica has become fresh
 * enough meanwhile.
 */
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { closedMeanwhile, LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import type { Caller } from '../isolation/priority-limiter.js';
import type { Need } from '../nodes/fleet.js';
import { Node } from '../nodes/node.js';
import { codeOf, isGone } from '../postgres/errors.js';
import { AbortController } from '../signals.js';
import type { ExecutionContext } from './context.js';
import type { Placement } from './placement.js';
import { mayTry, onPrimary, throwIfGivenUp } from './primary.js';

/** Why a read falls back, and for how long it may wait. */
export interface Fall {
  /** Why no replica serves it. */
  readonly reason: Reason;
  /** The word for it in events and stats. */
  readonly told: Reason;
  readonly startedAt: number;
  readonly tried: ReadonlySet<Node> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @returns `undefined` when replicas should be looked at once more */
export async function fallBack(context: ExecutionContext, need: Need, fall: Fall): Promise<Placement | undefined> {
  const { fleet, limiter } = context;
  const { reason, told, startedAt, signal } = fall;
  const request = { reason: told, mayWrite: false, startedAt, giveUpAt: need.giveUpAt, signal };
  // At a cold start nothing is known of the replicas yet, and without any the primary is not the last rung but the only one.
  if (reason === 'cold-start' || fleet.replicas.length === 0) return onPrimary(fleet, request);

  if (!mayTry(fleet) && (await primaryOrReplica(context, need, fall)) === 'replica') return undefined;
  const caller = need.asker.caller();
  if (!limiter.tryEnter(caller) && (await turnOrReplica(context, need, fall, caller)) === 'replica') return undefined;
  try {
    // Waiting for another primary is done above, where it holds no turn.
    return await inTurn(context, caller, () => onPrimary(fleet, { ...request, giveUpAt: fleet.awakeMillis }));
  } catch (error) {
    const isLeft = isGone(error) || codeOf(error) === 'LADDER_NO_PRIMARY';
    const isFirst = !fleet.primary.hasAnswered && mayTry(fleet);
    if (!isLeft || signal?.aborted === true || isFirst || fleet.awakeMillis >= need.giveUpAt) throw error;
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
    return { ...(await find()), endTurn };
  } catch (error) {
    endTurn();
    throw error;
  }
}

/** Waits for a server that takes writes, or for a replica that is fresh enough without one. */
async function primaryOrReplica(context: ExecutionContext, need: Need, fall: Fall): Promise<'primary' | 'replica'> {
  const { fleet } = context;
  const isFresh = freshReplica(context, need, fall);
  const isEither = (): boolean => mayTry(fleet) || isFresh();
  await fleet.monitor.until(isEither, need.giveUpAt - fleet.awakeMillis, 'primary', fall.signal);
  throwIfGivenUp(fleet, fall.signal);
  if (mayTry(fleet)) return 'primary';
  if (isFresh()) return 'replica';
  throw (fleet.isClosed ? undefined : fleet.leadership.vacancy) ?? closedMeanwhile();
}

/** Waits for a turn under the budget, or for a replica that is fresh enough by now. */
async function turnOrReplica(
  context: ExecutionContext,
  need: Need,
  fall: Fall,
  caller: Caller,
): Promise<'turn' | 'replica'> {
  const { fleet, limiter } = context;
  const { signal } = fall;
  if (limiter.isFull(need.priority, caller)) {
    limiter.refuse();
    throw overloaded(context, fall, 'it cannot wait for a turn, since enough reads do (maxWaiting)');
  }
  const waiting = new AbortController();
  const stop = (): void => waiting.abort();
  const millis = need.giveUpAt - fleet.awakeMillis;
  const timer = setTimeout(stop, Math.max(0, millis));
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const turn = limiter.enter(need.priority, caller, waiting.signal);
    const replica = fleet.monitor.until(freshReplica(context, need, fall), millis, 'anything', waiting.signal);
    const first = await Promise.race([turn.then(() => 'turn' as const), replica]);
    waiting.abort();
    // Both may have come at once: the turn is worth more, since it is there already.
    if (await turn) return 'turn';
    // One that was fresh a moment ago may be lost by now: while there is time, that is no overload.
    const isOver = signal?.aborted === true || fleet.isClosed || fleet.awakeMillis >= need.giveUpAt;
    if (first === true || (first === false && !isOver)) return 'replica';
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
  if (fleet.isClosed) throw closedMeanwhile();
  limiter.refuse();
  if (signal?.aborted === true && codeOf(signal.reason) !== 'LADDER_TIMEOUT') throw signal.reason;
  throw overloaded(context, fall, `no turn within ${Math.round(performance.now() - fall.startedAt)} ms`);
}

function freshReplica({ fleet }: ExecutionContext, need: Need, { tried }: Fall): () => boolean {
  return () => fleet.choose(need, performance.now(), tried) instanceof Node;
}

function overloaded({ limiter }: ExecutionContext, { reason, signal }: Fall, why: string): LadderError {
  const { estimateMillis: retryAfterMillis, stats } = limiter;
  return new LadderError(
    'LADDER_OVERLOADED',
    `no replica could serve the read (${reason}), and the primary takes ${stats.limit} of these at a time (primaryReadBudget): ${why}, ` +
      `${stats.waiting} others wait; a turn is likely in about ${retryAfterMillis} ms`,
    { retryAfterMillis, cause: signal?.reason },
  );
}
