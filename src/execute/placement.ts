/** Where a statement runs: a connection for one caller, who runs it there, gives the connection back, and then says `left`. */
import type { Reason } from '../events.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Node } from '../nodes/node.js';

export interface Placement {
  readonly node: Node;
  readonly connection: DataConnection;
  readonly reason: Reason;
  /** Gives back the turn under the primary's budget, where one was needed. */
  readonly endTurn: (() => void) | undefined;
}

/** The caller is done with the connection, whatever became of it. */
export function leave({ node, endTurn }: Placement): void {
  node.load.remove();
  endTurn?.();
}
