/** Under which name a statement is prepared on a connection of a pool. It sends nothing. */
import type { DataConnection } from '../nodes/data-connection.js';
import type { StatementName } from '../postgres/statement-names.js';
import { writable } from '../postgres/values.js';
import type { Statement } from './request.js';

/** Under a name its values must not fail while they are written. Without values it may be several statements, of which no name can stand. */
export function named(
  { names }: DataConnection,
  { query, values, profile }: Statement,
  now: number,
): { readonly name: StatementName; readonly values: unknown[] } | undefined {
  if (profile?.isUndivided !== true || names === undefined) return undefined;
  const given = values ?? (typeof query === 'string' ? undefined : query.values);
  if (!Array.isArray(given) || given.length === 0) return undefined;
  if (typeof query !== 'string' && query.name !== undefined) return undefined;
  let plain: unknown[] | undefined;
  try {
    plain = writable(given);
  } catch {
    // pg reports it, as of any other statement.
  }
  // Nothing else is under way there.
  names.over();
  if (plain === undefined) return undefined;
  const name = names.use(profile, now);
  return name === undefined ? undefined : { name, values: plain };
}
