/** Servers that are plain objects, under the real history, selection and budget: for decisions that run nothing. */

import type { ExecutionContext } from '../../../src/execute/context.js';
import { Request } from '../../../src/execute/request.js';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { ReadTrace } from '../../../src/freshness/read-trace.js';
import type { Consistency, Target } from '../../../src/freshness/requirement.js';
import { PriorityLimiter } from '../../../src/isolation/priority-limiter.js';
import { RetryBudget } from '../../../src/isolation/retry-budget.js';
import type { Node } from '../../../src/nodes/node.js';
import { PositionRiders } from '../../../src/nodes/position-riders.js';
import { Refusals } from '../../../src/nodes/refusals.js';
import { RouteCounts } from '../../../src/nodes/route-counts.js';
import { Selection } from '../../../src/nodes/selection.js';
import { type Publisher as EventPublisher, Publisher } from '../../../src/publisher.js';
import { Load } from '../../../src/routing/load.js';
import { hashOf } from '../../../src/routing/partition.js';
import { at, position } from '../freshness/positions.js';

/** Where the primary stands. */
export const PRIMARY_LSN = 100n;

const serverOf = (name: string) => `${name}@1`;

/** A server that does what it is told by `over`, and notes what was done with it. */
export function playedNode(name: string, lsn: bigint | undefined, over: object = {}) {
  const log: string[] = [];
  const identity = { server: serverOf(name), clusterId: '7', startedAt: '1' };
  const sentAt = performance.now();
  const inRecovery = name !== 'p';
  const client = {
    query: () => undefined,
    release: (isBroken?: boolean) => void log.push(isBroken === true ? 'closed' : 'released'),
  };
  const node = {
    log,
    client,
    connection: { client, identity, status: () => 'I', isLost: false },
    name,
    hash: hashOf(name),
    role: inRecovery ? 'replica' : 'primary',
    lsn,
    freshAsOf: lsn === undefined ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
    steadyAgeMillis: 0,
    observation: lsn === undefined ? undefined : { identity, sentAt, lsn, inRecovery, timeline: 1, forkLsn: undefined },
    weight: 1,
    inFlight: 0,
    share: 1,
    responseMillis: 1,
    typicalMillis: 50,
    capacity: 10,
    isEjected: false,
    isStalled: false,
    isNear: false,
    wasAsked: true,
    hasJoined: false,
    hasAnswered: true,
    lastError: undefined as unknown,
    roundTripMillis: 0,
    load: Object.assign(new Load(), {
      statementCount: 0,
      readCount: 0,
      statementLatency: { add: (_: number): void => undefined },
      response: { failed: (_: number): void => undefined, took: (): void => undefined },
    }),
    mayHaveMoved: () => true,
    refusals: new Refusals(),
    takeLane: (): unknown => ({ of: name }),
    gaveNoConnection: () => void log.push('lost'),
    failed: () => void log.push('failed'),
    succeeded: () => undefined,
    forget: () => void log.push('void'),
    cancel: () => void log.push('cancelled'),
    refresh: async (): Promise<void> => void log.push('asked'),
    observe: async () => undefined,
    observeOn: async (): Promise<unknown> => undefined,
    gateOn: (_: unknown, _told: (seen: unknown) => void): void => undefined,
    recordGate: (): void => undefined,
    checkout(_: boolean, taken: (error: unknown, connection?: unknown) => void) {
      log.push('checkout');
      taken(undefined, this.connection);
    },
    ...over,
  };
  return Object.assign(node, { position: node, probe: node, health: node, connections: node });
}

export type PlayedNode = ReturnType<typeof playedNode>;

interface Over {
  readonly settings?: object;
  readonly leadership?: object;
  readonly monitor?: object;
  readonly fleet?: object;
  readonly limit?: number;
  readonly maxWaiting?: number;
}

/** A cluster of these replicas, whose primary stands at {@link PRIMARY_LSN}. */
export function playedFleet(replicas: readonly PlayedNode[], over: Over = {}) {
  const primary = playedNode('p', PRIMARY_LSN);
  const history = new PrimaryHistory();
  history.add(at(performance.now(), PRIMARY_LSN));
  const settings = {
    loadFactor: 1.25,
    hotKeys: false,
    maxLagMillis: 10_000,
    tokenLifetimeMillis: 60_000,
    waitMillis: 0,
    hangMillis: 1_000,
    primaryWaitMillis: 1_000,
    ...over.settings,
  };
  const leadership = {
    primary,
    replicas,
    isSettled: true,
    isContested: false,
    canTry: true,
    vacancy: undefined as unknown,
    ...over.leadership,
  };
  const publisher: EventPublisher = new Publisher('shop');
  const waits: unknown[] = [];
  const monitor = {
    until: async (reached: () => boolean, _millis: number, wanted: unknown): Promise<boolean> => {
      waits.push(wanted);
      return reached();
    },
    ...over.monitor,
  };
  const fleet = {
    settings,
    history,
    leadership,
    primary,
    replicas,
    nodes: [primary, ...replicas],
    publisher,
    counts: new RouteCounts(publisher),
    selection: new Selection(settings as never, history, leadership as never),
    monitor,
    awakeMillis: 0,
    heartbeat: { awake: () => 0 },
    isClosed: false,
    riders: new PositionRiders(history),
    refreshBehind: () => void waits.push('refresh'),
    ...over.fleet,
  };
  const limiter = new PriorityLimiter(() => over.limit ?? 1, over.maxWaiting);
  const retries = new RetryBudget({ share: 0.2, perSecond: 10 }, publisher);
  const context = { fleet, limiter, retries } as unknown as ExecutionContext;
  return { context, fleet: fleet as typeof fleet & ExecutionContext['fleet'], primary, history, limiter, waits };
}

interface Asked {
  readonly floor?: bigint;
  readonly consistency?: Consistency;
  readonly maxStalenessMillis?: number;
  readonly target?: Target;
  readonly partitionKey?: string;
  /** The server on which its session has read before, as its name. */
  readonly readOn?: string;
  readonly timeoutMillis?: number;
  readonly signal?: AbortSignal;
}

/** A read that must see that position, of a session. */
export function aRead(context: ExecutionContext, asked: Asked = {}): Request {
  const { floor: lsn, consistency = 'session', maxStalenessMillis, target, partitionKey, readOn, signal } = asked;
  const floor = new Floor();
  if (lsn !== undefined) floor.claim(position(lsn), performance.now());
  const trace = readOn === undefined ? undefined : new ReadTrace(floor);
  if (readOn !== undefined) trace?.ended(serverOf(readOn), performance.now());
  const scope = {
    floor,
    key: undefined,
    trace,
    notes: undefined,
    priority: 'normal',
    caller: () => undefined,
  } as const;
  const entry = { id: 1, startedAt: performance.now() };
  const { timeoutMillis } = asked;
  const requirement = { consistency, maxStalenessMillis };
  return new Request(
    { context, entry, scope, signal },
    { target, partitionKey, timeoutMillis, priority: undefined },
    floor,
    requirement,
  );
}

/** The same object, as what the library takes. */
export function nodeOf(played: PlayedNode | undefined): Node {
  return played as unknown as Node;
}
