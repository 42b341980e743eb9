/** Makes what hears changes, of the source that the options name. */
import { inBackground } from '../async-context.js';
import type { ChangeSource } from '../change-source.js';
import type { ChangesSettings } from '../options/changes.js';
import { Changes, type ChangesGround } from './changes.js';
import { LogicalSource } from './logical-source.js';
import { WatchedSource } from './watched-source.js';

/** @returns `undefined` where changes are not heard */
export function changesOf(settings: ChangesSettings | undefined, ground: ChangesGround): Changes | undefined {
  if (settings === undefined) return undefined;
  const changes = new Changes(settings, ground);
  inBackground(() => changes.start(sourceOf(settings, ground, changes)));
  return changes;
}

function sourceOf(settings: ChangesSettings, { fleet }: ChangesGround, { definitions }: Changes): ChangeSource {
  const { source, publication } = settings;
  if (typeof source === 'object' && 'subscribe' in source) return source;
  const node = typeof source === 'object' ? source.node : undefined;
  return new WatchedSource(new LogicalSource(fleet, { publication, node }), definitions);
}
