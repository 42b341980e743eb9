/**
 * What to do about a token of a timeline that no server has shown yet: a promotion that was not noticed, or a forgery. It asks all servers at once, or waits for
 * what the monitor asks them anyway; it decides nothing, and one token delays its reads by no more than `hangMillis` in all.
 */

import { performance } from '../clock.js';
import { abortable } from '../deadline.js';
import type { Floor } from '../freshness/floor.js';
import type { Fleet } from '../nodes/fleet.js';

export async function findTimeline(fleet: Fleet, floor: Floor, signal?: AbortSignal): Promise<void> {
  const { history, monitor, nodes, settings } = fleet;
  const now = performance.now();
  const isDecided = (): boolean => {
    floor.resolve(history);
    return !floor.outruns(history);
  };
  const decided = (millis: number): Promise<unknown> => monitor.until(isDecided, millis, 'anything', signal);
  if (fleet.timelineLook.take(history.timelines.timeline, now)) {
    const looking = Promise.allSettled(nodes.map((node) => node.probe.refresh()));
    // The promoted server may answer long before one that hangs is given up.
    await abortable(Promise.race([looking, decided(settings.hangMillis)]), signal);
  } else {
    await decided((floor.outrunsSince(history) ?? now) + settings.hangMillis - now);
  }
  signal?.throwIfAborted();
}
