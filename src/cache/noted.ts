/** Notes what a read through the caches has shown, for sessions that want to know. */
import type { RouteRecord } from '../execute/route.js';
import type { Position } from '../freshness/position.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { ReadNotes } from '../freshness/read-notes.js';
import type { CacheEntry } from './entry.js';
import type { Lookup } from './lookup.js';

/** What a server has just answered. */
export interface Answered {
  readonly record: RouteRecord | undefined;
  /** `undefined` for what is not kept. */
  readonly entry: CacheEntry | undefined;
  /** Our monotonic clock before it was asked for. */
  readonly askedAt: number;
}

/** An answer from earlier is given. */
export function noteEntry(notes: ReadNotes, lookup: Lookup, { origin, lsn, freshAsOf }: CacheEntry): void {
  const { clusterId, timeline, validFrom } = origin;
  note(notes, lookup, { clusterId, timeline, lsn: lsn ?? validFrom }, freshAsOf);
}

export function noteAnswer(
  notes: ReadNotes,
  lookup: Lookup,
  { record, entry, askedAt }: Answered,
  history: PrimaryHistory,
): void {
  const { clusterId, timelines, clock } = history;
  const lsn = record?.timeline === timelines.timeline ? record.lsn : undefined;
  if (entry !== undefined) noteEntry(notes, lookup, entry);
  else if (record?.role === 'primary') note(notes, lookup, undefined, askedAt);
  else if (lsn === undefined || clusterId === undefined) note(notes, lookup, undefined, Number.NEGATIVE_INFINITY);
  else {
    const { timeline } = timelines;
    note(notes, lookup, { clusterId, timeline, lsn }, Math.min(clock.freshAsOf(lsn), askedAt));
  }
}

function note(
  notes: ReadNotes,
  { tables, terms, judging }: Lookup,
  position: Position | undefined,
  freshAsOf: number,
): void {
  notes.of(tables);
  if (terms.scope !== undefined) notes.scoped();
  notes.saw(position, freshAsOf, judging.requirement.maxStalenessMillis);
}
