/** Counts where statements go and why, and tells of it. It decides nothing. */
import { CallingContext } from '../async-context.js';
import { type Reason, type RungName, reasons } from '../events.js';
import type { Publisher } from '../publisher.js';
import type { Node } from './node.js';

/** A statement that was placed. */
export interface Placed {
  readonly node: Node;
  readonly reason: Reason;
  /** The call that it belongs to. */
  readonly request: { readonly id: number; readonly callingContext: CallingContext };
}

export class RouteCounts {
  readonly byReason = Object.fromEntries(reasons.map((reason) => [reason, 0])) as Record<Reason, number>;
  /** See {@link ClusterStats.moveCount}. */
  moveCount = 0;
  readonly #publisher: Publisher;

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  /**
   * A statement goes there.
   * @param waitedMillis spent on finding that place
   */
  placed({ node, reason, request }: Placed, waitedMillis: number): void {
    this.byReason[reason]++;
    if (isOfRead(reason)) node.load.readCount++;
    if (!this.#publisher.wants('route')) return;
    const { id, callingContext } = request;
    const event = { id, rung: node.role, node: node.name, role: node.role, reason, waitedMillis };
    this.#publisher.publish('route', event, callingContext);
  }

  /** An answer was given that had been kept. @param node the replica that it was read on */
  kept(id: number, node: string, rung: RungName): void {
    this.byReason.cache++;
    if (!this.#publisher.wants('route')) return;
    const event = { id, rung, node, role: 'replica', reason: 'cache', waitedMillis: 0 } as const;
    this.#publisher.publish('route', event, new CallingContext());
  }

  /** What was placed there runs elsewhere: a read counts once, and where it ends. */
  abandoned({ node, reason }: Placed): void {
    if (isOfRead(reason)) node.load.readCount--;
  }
}

function isOfRead(reason: Reason): boolean {
  return reason !== 'write' && reason !== 'transaction' && reason !== 'session-state';
}
