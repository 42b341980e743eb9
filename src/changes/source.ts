/** Makes what hears changes, of the source that the options name. */
import { createHash } from 'node:crypto';
import { inBackground } from '../async-context.js';
import type { ChangeSource } from '../change-source.js';
import type { ChangesSettings } from '../options/changes.js';
import { databaseOf } from '../postgres/internals.js';
import { Changes, type ChangesGround } from './changes.js';
import { LogicalSource } from './logical-source.js';
import { NotifySource } from './notify-source.js';
import { RelayedSource } from './relayed-source.js';
import { type RereadingSource, WatchedSource } from './watched-source.js';

/** @returns `undefined` where changes are not heard */
export function changesOf(settings: ChangesSettings | undefined, ground: ChangesGround): Changes | undefined {
  if (settings === undefined) return undefined;
  const changes = new Changes(settings, ground);
  inBackground(() => changes.start(sourceOf(settings, ground, changes)));
  return changes;
}

function sourceOf(settings: ChangesSettings, ground: ChangesGround, { definitions }: Changes): ChangeSource {
  const { source, publication, relay } = settings;
  if (typeof source === 'object' && 'subscribe' in source) return source;
  if (source === 'notify') return new WatchedSource(new NotifySource(ground.fleet), definitions);
  const node = typeof source === 'object' ? source.node : undefined;
  const lock = relay === undefined ? undefined : lockOf(publication);
  const log = new WatchedSource(new LogicalSource(ground.fleet, { publication, node, lock }), definitions);
  if (relay === undefined) return log;
  return new Relayed(log, new RelayedSource({ source: log, relay, stream: () => streamOf(settings, ground) }));
}

/** What others tell is heard; what this process reads itself it reads anew when definitions change. */
class Relayed implements RereadingSource {
  readonly #log: RereadingSource;
  readonly #relayed: ChangeSource;

  constructor(log: RereadingSource, relayed: ChangeSource) {
    this.#log = log;
    this.#relayed = relayed;
  }

  subscribe: ChangeSource['subscribe'] = (handler) => this.#relayed.subscribe(handler);

  definitionsChanged(): Promise<void> {
    return this.#log.definitionsChanged();
  }
}

/** The same in all processes: an advisory lock, of the database that they connect to. */
function lockOf(publication: string): bigint {
  return createHash('sha256').update(`pg-ladder changes ${publication}`).digest().readBigInt64BE();
}

/** Names what is told, among all that goes over a relay; `undefined` until the cluster is known. */
function streamOf({ publication }: ChangesSettings, { fleet }: ChangesGround): string | undefined {
  const { clusterId } = fleet.history;
  if (clusterId === undefined) return undefined;
  const names = JSON.stringify([clusterId, databaseOf(fleet.primary.pool), publication]);
  return createHash('sha256').update(names).digest('base64url');
}
