/** Makes what hears changes, of the source that the options name. */
import { inBackground } from '../async-context.js';
import type { ChangeSource } from '../change-source.js';
import type { ChangesSettings } from '../options/changes.js';
import { Changes, type ChangesGround } from './changes.js';

/** @returns `undefined` where changes are not heard */
export function changesOf(settings: ChangesSettings | undefined, ground: ChangesGround): Changes | undefined {
  if (settings === undefined) return undefined;
  const changes = new Changes(settings, ground);
  inBackground(() => changes.start(sourceOf(settings)));
  return changes;
}

function sourceOf({ source }: ChangesSettings): ChangeSource {
  if (typeof source === 'object' && 'subscribe' in source) return source;
  throw new Error('not yet');
}
