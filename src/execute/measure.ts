/** What is learnt from how long a statement took. */
import type { Node } from '../nodes/node.js';
import type { Profile } from '../statements/profile.js';

/** How long the statement took, and what the server took beside it. */
export function measure(node: Node, profile: Profile, millis: number, now: number): void {
  if (profile.isShort) node.load.response.took(Math.max(0, millis - profile.expectedMillis), now);
  profile.took(millis - node.probe.roundTripMillis);
}
