/** Asks the primary where it stands, for a read or a token that waits for it. A write that is under way may bring the answer along. */
import type { Fleet } from '../nodes/fleet.js';

export function refreshPrimary({ riders, primary }: Fleet): Promise<void> {
  const ask = (): Promise<void> => primary.probe.refresh();
  return riders.next()?.then((isAnswered) => (isAnswered ? undefined : ask())) ?? ask();
}
