/**
 * What reads depend on, for sessions that want to know whether others may see the same. By the same
 * rule as caches: what they would share with anybody is for everybody. Found out once a text.
 */
import { inBackground } from '../async-context.js';
import { textOf } from '../execute/call.js';
import type { ReadNotes, ReadSubject } from '../freshness/read-notes.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Classifier } from '../statements/classifier.js';
import type { CacheCall } from './lookup.js';
import type { CacheRung } from './rung.js';
import { obstacleTo } from './terms.js';
import { type CachedText, CachedTexts } from './texts.js';

const UNSCOPED = { tables: [], scope: undefined };

export class ReadSubjects {
  readonly #texts: CachedTexts;
  readonly #unlikeness: () => string | undefined;

  constructor(cache: CacheRung | undefined, classifier: Classifier, { answerSources }: Fleet) {
    this.#texts = cache?.texts ?? new CachedTexts(classifier, [], () => undefined);
    // Without caches the set-up of connections is not compared.
    this.#unlikeness = () => (cache === undefined ? undefined : answerSources.problem);
  }

  /** `undefined` while nothing is known of that text: the first look at it begins to find out. */
  of(text: string): ReadSubject | undefined {
    const known = this.#texts.known(text);
    if (known !== undefined) return subjectOf(known, this.#unlikeness());
    inBackground(() => void this.#texts.learn(text));
    return undefined;
  }

  /**
   * A read of a session that notes its reads.
   * @param reading its answer @returns the same, where that is wanted once it is known what it is of
   */
  noted<T>({ options, statement }: CacheCall, notes: ReadNotes, reading: Promise<T>): Promise<T> {
    const cache = options?.cache;
    if (typeof cache === 'object' && cache.scope !== undefined) notes.scoped();
    if (!notes.isThorough) return reading;
    const text: unknown = textOf(statement.query);
    if (typeof text !== 'string' || this.#texts.known(text) !== undefined) return reading;
    const learning = inBackground(() => this.#texts.learn(text));
    return Promise.all([reading, learning]).then(([result]) => result);
  }
}

function subjectOf(text: CachedText, unlikeness: string | undefined): ReadSubject {
  const because = obstacleTo(text, UNSCOPED) ?? unlikeness;
  const obstacle = because ?? (text.rule?.scope === undefined ? undefined : 'a read has a scope');
  return { tables: text.tables, obstacle };
}
