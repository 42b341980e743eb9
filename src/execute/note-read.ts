/**
 * Notes what a statement is about to show, for sessions that want to know. It runs where the
 * statement is placed, so that also what fails later, or is still under way, counts.
 */
import type { Lsn } from '../freshness/lsn.js';
import type { ReadNotes } from '../freshness/read-notes.js';
import type { Node } from '../nodes/node.js';
import type { Request } from './request.js';

/**
 * @param lsn how far the replica was known to be before
 * @param now our monotonic clock before it is sent
 */
export function noteRead(notes: ReadNotes, request: Request, node: Node, lsn: Lsn | undefined, now: number): void {
  // What caches keep is noted where they give it.
  if (request.tables !== undefined) return;
  const { history } = request.context.fleet;
  const { maxStalenessMillis } = request.requirement;
  notes.asked(request.text);
  if (node.role === 'primary') {
    // It may show less than its log says, as while it waits for a synchronous standby.
    notes.saw(undefined, now, maxStalenessMillis);
    return;
  }
  const { clusterId, timelines } = history;
  if (lsn === undefined || clusterId === undefined) {
    notes.saw(undefined, Number.NEGATIVE_INFINITY, maxStalenessMillis);
    return;
  }
  const freshAsOf = lsn === node.lsn ? node.freshAsOf : history.clock.freshAsOf(lsn);
  // What depends on the time is no younger than the statement.
  const asOf = Math.min(freshAsOf, request.startedAt);
  notes.saw({ clusterId, timeline: timelines.timeline, lsn }, asOf, maxStalenessMillis);
}
