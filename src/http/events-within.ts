/** The events of a request within its sessions. */
import type { IncomingMessage } from 'node:http';
import { withinAll } from '../clusters.js';
import type { CarriedSession } from '../session/carried-session.js';

const WITHIN = Symbol('pg-ladder.within');

type Telling = IncomingMessage & { [WITHIN]?: { readonly sessions: readonly CarriedSession[]; readonly emit: Emit } };
type Emit = (...args: unknown[]) => boolean;

/**
 * A request's own events, such as those of its body, come from the socket, which knows nothing of
 * sessions.
 */
export function keepEventsWithin(sessions: readonly CarriedSession[], request: Telling): void {
  // Mounted twice, it is the inner one's.
  const emit = request[WITHIN]?.emit ?? (request.emit.bind(request) as Emit);
  request[WITHIN] = { sessions, emit };
  request.emit = emitWithin;
}

function emitWithin(this: Telling, ...args: unknown[]): boolean {
  const { sessions, emit } = this[WITHIN] as NonNullable<Telling[typeof WITHIN]>;
  return withinAll(sessions, () => emit(...args));
}
