/**
 * What all calls share: the servers, what shares connections, and what keeps the primary from being
 * overrun. It is put together here, once a cluster, and decides nothing.
 */
import { PriorityLimiter } from '../isolation/priority-limiter.js';
import { RetryBudget } from '../isolation/retry-budget.js';
import { TransactionWatch } from '../isolation/transaction-watch.js';
import type { Fleet } from '../nodes/fleet.js';
import { ReceiverLooks } from '../nodes/receiver-looks.js';
import type { Settings } from '../options/cluster.js';
import type { Classifier } from '../statements/classifier.js';
import { TextCache } from '../statements/text-cache.js';
import { LaneEligibility } from './lane-eligibility.js';

export interface ExecutionContext {
  readonly fleet: Fleet;
  /** For reads that no replica can serve. */
  readonly limiter: PriorityLimiter;
  /** What may share a connection. */
  readonly eligibility: LaneEligibility;
  /** For reads that are sent a second time. */
  readonly retries: RetryBudget;
  /** What holds transactions open for too long; `undefined` where nobody asks. */
  readonly watch: TransactionWatch | undefined;
  /** Digests of statements of which was told that no replica can run them. */
  readonly warned: TextCache<true>;
  /** Asks replicas how far reads can have seen; `undefined` where no kept answer is kept current. */
  readonly receiverLooks: ReceiverLooks | undefined;
}

export function executionContext(fleet: Fleet, classifier: Classifier): ExecutionContext {
  const { settings, publisher } = fleet;
  const { transactionLimits: limits } = settings;
  return {
    fleet,
    limiter: new PriorityLimiter(() => primaryReadBudget(fleet), settings.maxWaiting),
    eligibility: new LaneEligibility(classifier, mayHaveLanes(settings)),
    retries: new RetryBudget(settings.retryBudget, publisher),
    watch: limits === undefined ? undefined : new TransactionWatch(limits, publisher),
    warned: new TextCache(),
    receiverLooks: keepsCurrent(settings) ? new ReceiverLooks(fleet.history) : undefined,
  };
}

function keepsCurrent({ cache, changes }: Settings): boolean {
  return cache !== undefined && changes !== undefined;
}

/** Half of what the primary's pool holds, so that writes find connections, and no less than 8. */
function primaryReadBudget({ settings, primary }: Fleet): number {
  return settings.primaryReadBudget ?? Math.max(8, Math.floor((primary.pool.options?.max ?? 10) / 2));
}

/** Whether any node has shared connections, now or once it is found. */
function mayHaveLanes({ nodes, discovery, foundLane }: Settings): boolean {
  return nodes.some(({ lane }) => lane !== false) || (discovery !== undefined && foundLane !== false);
}
