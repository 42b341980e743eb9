/** The `query` event of a statement that has ended. Its digest is worked out when it is read. */
import type { QueryEvent, Untold } from '../events.js';
import { textOf } from '../postgres/arguments.js';
import { codeOf } from '../postgres/errors.js';
import type { Attempt } from './attempt.js';

/** @param asked in whatever form pg got it */
export function tellQuery(
  { request, node }: Attempt,
  asked: unknown,
  durationMillis: number,
  rowCount: number | null,
  error: Error | null,
): void {
  const { id, context, callingContext } = request;
  const { publisher } = context.fleet;
  const { name, role } = node;
  // A server, or a driver, may say anything in its place.
  const code = error === null ? undefined : (codeOf(error) ?? 'unknown');
  const errorCode = code === undefined || /^\w{1,64}$/.test(code) ? code : 'unknown';
  const event: Untold<QueryEvent> = {
    id,
    node: name,
    role,
    durationMillis,
    rowCount,
    errorCode,
    get digest() {
      const text = textOf(asked);
      return text === undefined ? undefined : publisher.digestNow(text);
    },
  };
  publisher.publish('query', event, callingContext);
}
