/**
 * What a statement leaves on its connection, or takes back, as the grammar tells. Which of it
 * matters to a read is not decided here.
 */
import { ANY_SETTING, type Effect } from './session-state.js';
import type { Fields } from './tree.js';

/** What a statement of a session leaves on its connection, or takes back. */
export function effectsOf(type: string, node: Fields): Effect[] {
  if (type === 'TransactionStmt') return [{ kind: 'control' }];
  if (type === 'LoadStmt') return [{ kind: 'library' }];
  if (type === 'DiscardStmt') {
    if (node['target'] === 'DISCARD_ALL') return [{ kind: 'discard-all' }];
    return node['target'] === 'DISCARD_TEMP' ? [{ kind: 'discard-temporary' }] : [];
  }
  if (type !== 'VariableSetStmt' || node['is_local'] === true) return [];
  const { kind, name, args = [] } = node as { kind?: unknown; name?: unknown; args?: Fields[] };
  if (kind === 'VAR_RESET_ALL') return [{ kind: 'reset-all' }];
  const setting = String(name).toLowerCase();
  if (setting.startsWith('transaction')) return [];
  if (kind === 'VAR_SET_MULTI') {
    const modes = args.map(({ DefElem }) => String((DefElem as Fields)['defname']));
    return modes.map((mode) => ({ kind: 'set', name: `default_${mode}` }));
  }
  // SET ROLE NONE is RESET ROLE by another name.
  const isReset =
    kind === 'VAR_RESET' || kind === 'VAR_SET_DEFAULT' || (setting === 'role' && constantOf(args[0]) === 'none');
  return [{ kind: isReset ? 'reset' : 'set', name: setting }];
}

/** @param args of `set_config()` @returns `undefined` where it holds for its transaction only */
export function effectOfSetConfig([name, , isLocal]: readonly Fields[]): Effect | undefined {
  if (constantOf(isLocal) === true) return undefined;
  const setting = constantOf(name);
  return { kind: 'set', name: typeof setting === 'string' ? setting.toLowerCase() : ANY_SETTING };
}

/** The value of a constant; `undefined` for anything else. */
function constantOf(node: Fields | undefined): unknown {
  const { sval, boolval } = (node?.['A_Const'] ?? {}) as { sval?: { sval?: string }; boolval?: { boolval?: boolean } };
  // Of truth values `false` is not written down.
  return sval === undefined ? boolval && boolval.boolval === true : (sval.sval ?? '');
}
