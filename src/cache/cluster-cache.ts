/** What users have of the caches of a cluster: how they do, and how to make them forget. */
import { z } from 'zod';
import { LadderError } from '../errors.js';
import { check, optionsOf } from '../options/check.js';
import type { Forgotten } from './forgetting.js';
import type { CacheRung } from './rung.js';
import type { CacheStats } from './stats.js';

const forgottenSchema = optionsOf({
  tables: z.array(z.string().min(1)).optional(),
  tags: z.array(z.string().min(1)).optional(),
  digest: z.string().min(1).optional(),
});

/** The caches of a cluster, see the option `cache` of `createCluster`. */
export class ClusterCache {
  readonly #rung: CacheRung | undefined;

  constructor(rung: CacheRung | undefined) {
    this.#rung = rung;
  }

  /**
   * Makes all processes and the shared rung forget answers, for what changed beside PostgreSQL's log. Sessions see
   * their own writes without it.
   * @returns when no process gives them any more
   * @throws LadderError `LADDER_INVALID_OPTIONS`; `LADDER_FORGET_INCOMPLETE` when a process, or the shared rung, could not
   * be told: this one has forgotten them even then
   */
  async forget(forgotten: Forgotten): Promise<void> {
    check(forgottenSchema, forgotten, 'cache.forget');
    if (forgotten.tables === undefined && forgotten.tags === undefined && forgotten.digest === undefined)
      throw new LadderError('LADDER_INVALID_OPTIONS', 'cache.forget: expected tables, tags or digest');
    await this.#rung?.forget(forgotten);
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` where the cluster has no caches */
  stats(): CacheStats {
    if (this.#rung === undefined)
      throw new LadderError(
        'LADDER_INVALID_OPTIONS',
        'cache.stats: expected the option cache of createCluster to be set',
      );
    return this.#rung.stats();
  }
}
