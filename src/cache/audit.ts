/**
 * Compares a share of the answers from memory with what a replica says now, for ever. Only where the
 * primary has written nothing since, a difference is a fault; else it may be a change.
 */
import type { QueryResult } from 'pg';
import { CallingContext, inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { read } from '../execute/read.js';
import { refreshPrimary } from '../execute/refresh-primary.js';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import { isRaw } from '../postgres/raw-results.js';
import type { CacheEntry } from './entry.js';
import type { CacheGround } from './ground.js';
import { inBackgroundOf, type Lookup, rawStatement } from './lookup.js';
import type { RawRow } from './raw-answer.js';

/** What comparisons have shown. */
export interface AuditCounts {
  /** The replica said the same. */
  readonly sameCount: number;
  /** It said something else, and the log had moved on: the data may have changed. */
  readonly changedCount: number;
  /** It said something else, and nothing had been written since: this must stay 0. */
  readonly wrongCount: number;
}

/** One at a time: an audit must not become a load of its own. */
const MAX_AT_ONCE = 1;

export class Audit {
  readonly #share: number;
  readonly #ground: CacheGround;
  readonly #counts = { sameCount: 0, changedCount: 0, wrongCount: 0 };
  #underWay = 0;

  /** @param share of the answers that are compared, 0 to 1 */
  constructor(share: number, ground: CacheGround) {
    this.#share = share;
    this.#ground = ground;
  }

  get counts(): AuditCounts {
    return { ...this.#counts };
  }

  /** An answer was given. */
  given(entry: CacheEntry, lookup: Lookup): void {
    if (this.#share === 0 || this.#underWay >= MAX_AT_ONCE || Math.random() >= this.#share) return;
    this.#underWay++;
    const { lsn } = entry;
    inBackground(() => this.#compare(entry, lsn, lookup))
      // What a replica could not say proves nothing.
      .catch(() => undefined)
      .finally(() => this.#underWay--);
  }

  /** @param shownAt up to where the answer was taken to hold when it was given */
  #compare(entry: CacheEntry, shownAt: Lsn | undefined, lookup: Lookup): Promise<void> {
    const { gate, requests, fleet } = this.#ground;
    return gate.run(async (passed) => {
      const { call, asker, reading } = inBackgroundOf(lookup, passed);
      const statement = rawStatement(lookup);
      const result: QueryResult = await read(
        requests.onTerms(reading, asker, call.options ?? {}, passed, undefined, statement),
      );
      const endedAt = performance.now();
      if (!isRaw(result)) return;
      if (areSame(entry.answer.rows, result.rows as unknown as RawRow[])) {
        this.#counts.sameCount++;
        return;
      }
      await refreshPrimary(fleet);
      const upTo = fleet.history.covering(endedAt, 0);
      const { timeline, validFrom } = entry.origin;
      if (upTo?.timeline === timeline && upTo.lsn <= (shownAt ?? validFrom)) this.#tell(entry);
      else this.#counts.changedCount++;
    });
  }

  #tell({ origin, particulars: { text } }: CacheEntry): void {
    const { publisher } = this.#ground;
    this.#counts.wrongCount++;
    if (!publisher.wants('warning')) return;
    const message =
      `an answer from memory, filled from ${origin.node} at ${formatLsn(origin.validFrom)}, is not what a replica says, ` +
      'and nothing was written since; please report it, and take cache out until then';
    publisher.publish('warning', { code: 'cache-audit', message, digest: text.digest }, new CallingContext());
  }
}

/** In any order: where none is asked for, a server may give another one each time. */
function areSame(a: readonly RawRow[], b: readonly RawRow[]): boolean {
  const sorted = (rows: readonly RawRow[]): string => JSON.stringify(rows.map((row) => JSON.stringify(row)).toSorted());
  return a.length === b.length && sorted(a) === sorted(b);
}
