/**
 * What may share a connection with others: one query that is proven to read, that neither leaves nor needs anything on its connection, and that was fast
 * when it ran before. Everything else has a connection of its own, from the pool.
 */
import { performance } from '../clock.js';
import type { LaneStatement } from '../nodes/lane-connection.js';
import type { PreparedConfig, PreparedQuery } from '../postgres/prepared-query.js';
import { writable } from '../postgres/values.js';
import type { Classifier } from '../statements/classifier.js';
import type { Profile } from '../statements/profile.js';

/** A statement, as pg would take it. */
export interface Offered {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
}

/** What pg takes beside a text and its values, and what makes no difference to a shared connection. */
const PLAIN_KEYS = new Set(['text', 'values', 'name', 'rowMode', 'types']);

export class LaneEligibility {
  readonly #classifier: Classifier;
  readonly #hasLanes: boolean;

  /** @param hasLanes whether any node has shared connections: else nothing needs to be found out */
  constructor(classifier: Classifier, hasLanes: boolean) {
    this.#classifier = classifier;
    this.#hasLanes = hasLanes;
  }

  /** What is known of the text, which has come once more; `undefined` for one that no server would take. */
  recordUse(text: unknown): Profile | undefined {
    if (typeof text !== 'string') return undefined;
    const { profile } = this.#classifier.statements.recordUse(text);
    if (profile.name !== undefined && profile.tableCount === undefined && this.#classifier.isInUse)
      this.#countTables(text, profile);
    return profile;
  }

  /** What a plan of it takes of a server's memory goes by its tables. */
  #countTables(text: string, profile: Profile): void {
    const now = performance.now();
    const found = this.#classifier.known(text, now);
    profile.tableCount = found?.tableCount;
    if (found === undefined && profile.mayBeLearnt(now)) this.#classifier.learn(text);
  }

  /** @returns the statement as it travels; `undefined` when it must have a connection of its own. @throws what a value's own conversion throws */
  laneStatement({ query, values }: Offered, profile: Profile, now: number): LaneStatement | undefined {
    if (!this.#hasLanes || !profile.isFast(now)) return undefined;
    const text = typeof query === 'string' ? query : query.text;
    const found = this.#classifier.known(text, now);
    if (found === undefined && profile.mayBeLearnt(now)) this.#classifier.learn(text);
    if (found?.isDetached !== true) return undefined;
    if (typeof query === 'string') return travelling(text, values, undefined, undefined);
    for (const key in query) if (!PLAIN_KEYS.has(key)) return undefined;
    const { values: own, rowMode, types } = query as PreparedConfig & { rowMode?: unknown };
    if ((rowMode !== undefined && rowMode !== 'array') || Array.isArray(types)) return undefined;
    return travelling(text, values ?? own, rowMode, types);
  }
}

function travelling(
  text: string,
  values: unknown[] | undefined,
  rowMode: 'array' | undefined,
  types: unknown,
): LaneStatement | undefined {
  const plain = writable(values);
  return plain === undefined ? undefined : { text, values: plain, rowMode, types };
}
