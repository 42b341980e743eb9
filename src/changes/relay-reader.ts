/**
 * Hears the messages of the process that reads the log, and tells its own handler the same. It
 * decides which reading of the log is the present one, and whether anything is missing. It never
 * tells more than was told to it without a gap.
 */
import type { ChangeHandler } from '../change-source.js';
import type { Lsn } from '../freshness/lsn.js';
import type { RelayEpoch, RelayedScope, RelayMessage } from './relay-message.js';

/** How many past epochs are known by name: their processes may wake up, and tell the rest. */
const PAST_EPOCH_COUNT = 64;

/**
 * What a message was: of the present epoch, its end, of an epoch that is over or older, or one that
 * has come before.
 */
export type Hearing = 'heard' | 'broken' | 'left' | 'stale' | 'repeated';

export interface RelayReaderCounts {
  /** Of epochs that are over, or older than the present one. */
  staleCount: number;
  /** That came a second time. */
  repeatedCount: number;
  /** How often messages were missing. */
  gapCount: number;
}

interface Present {
  readonly epoch: RelayEpoch;
  /** Of the message that is to come. */
  nextNumber: number;
  scope: RelayedScope | undefined;
  /** Up to where the handler has heard all; `undefined` while it has to begin. */
  position: Lsn | undefined;
}

export class RelayReader {
  readonly counts: RelayReaderCounts = { staleCount: 0, repeatedCount: 0, gapCount: 0 };
  readonly #handler: ChangeHandler;
  readonly #past = new Set<string>();
  #present: Present | undefined;
  #timeline = 0;

  constructor(handler: ChangeHandler) {
    this.#handler = handler;
  }

  /** Whether the handler hears of changes from here. */
  get isTelling(): boolean {
    return this.#present?.position !== undefined;
  }

  /**
   * @param isSilent whether the present epoch was heard too long ago: then any that is not known to
   * be over may take its place, but none of a lower timeline
   */
  hear(message: RelayMessage, isSilent: boolean): Hearing {
    if (!this.#isPresent(message.epoch, isSilent)) {
      this.counts.staleCount++;
      return 'stale';
    }
    const present = this.#presentOf(message.epoch);
    if (message.number < present.nextNumber) {
      this.counts.repeatedCount++;
      return 'repeated';
    }
    if (message.number > present.nextNumber && present.position !== undefined) {
      this.counts.gapCount++;
      this.stop('messages of the process that reads the log are missing');
    }
    present.nextNumber = message.number + 1;
    present.scope = message.scope ?? present.scope;
    if (message.end !== undefined) {
      this.leave(`the process that reads the log has ${message.end === 'left' ? 'ended' : 'lost it'}`);
      return message.end;
    }
    this.#tell(present, message);
    return 'heard';
  }

  /** What the handler has heard counts no more: it has to begin anew. */
  stop(reason: string): void {
    if (this.#present?.position === undefined) return;
    this.#present.position = undefined;
    this.#handler.broken(reason);
  }

  /** The present epoch is over. */
  leave(reason: string): void {
    this.stop(reason);
    if (this.#present !== undefined) this.endEpoch(this.#present.epoch);
    this.#present = undefined;
  }

  /** Whether that epoch was replaced by another one, or has ended. */
  isOver({ id, timeline }: RelayEpoch): boolean {
    return this.#past.has(id) || timeline < this.#timeline;
  }

  /** From now on messages of that epoch are dropped. */
  endEpoch({ id, timeline }: RelayEpoch): void {
    if (timeline > this.#timeline) this.#timeline = timeline;
    this.#past.add(id);
    for (const oldest of this.#past) {
      if (this.#past.size <= PAST_EPOCH_COUNT) break;
      this.#past.delete(oldest);
    }
  }

  #isPresent(epoch: RelayEpoch, isSilent: boolean): boolean {
    if (this.isOver(epoch)) return false;
    return isSilent || this.#present === undefined || compareEpochs(epoch, this.#present.epoch) >= 0;
  }

  #presentOf(epoch: RelayEpoch): Present {
    if (this.#present?.epoch.id === epoch.id) return this.#present;
    this.leave('another process reads the log now');
    this.#timeline = epoch.timeline;
    this.#present = { epoch, nextNumber: 0, scope: undefined, position: undefined };
    return this.#present;
  }

  #tell(present: Present, { epoch, from, to, commits }: RelayMessage): void {
    if (present.position === undefined) {
      if (present.scope === undefined) return;
      present.position = from;
      this.#handler.began({ timeline: epoch.timeline, lsn: from, ...present.scope });
    }
    for (const { changes, lsn } of commits) this.#handler.changed(changes, lsn);
    if (to <= present.position) return;
    present.position = to;
    this.#handler.reached(to);
  }
}

/** Below 0 where the first is the older one. */
export function compareEpochs(a: RelayEpoch, b: RelayEpoch): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.id === b.id) return 0;
  return a.id < b.id ? -1 : 1;
}
