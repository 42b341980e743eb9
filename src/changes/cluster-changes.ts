/** What users have of the changes that a cluster hears: which tables change, and how it does. */
import { LadderError } from '../errors.js';
import type { ChangesEvent } from '../events.js';
import type { Publisher } from '../publisher.js';
import type { ChangeStats } from './change-stats.js';
import type { Changes } from './changes.js';

/** The changes of a cluster, see the option `changes` of `createCluster`. */
export class ClusterChanges {
  readonly #changes: Changes | undefined;
  readonly #publisher: Publisher;

  constructor(changes: Changes | undefined, publisher: Publisher) {
    this.#changes = changes;
    this.#publisher = publisher;
  }

  /**
   * Calls a listener whenever tables have changed: for what else depends on them, such as the pages
   * of a CDN. The same as the event `changes` of `cluster.events`. Changes within a gap are not
   * told: `beginCount` of `stats()` counts them.
   * @throws LadderError `LADDER_INVALID_OPTIONS` where the option `changes` is not set
   */
  on(name: 'tables', listener: (event: ChangesEvent) => void): this {
    this.#check(name);
    this.#publisher.emitter.on('changes', listener);
    return this;
  }

  /** Calls that listener no more. @throws as `on` does */
  off(name: 'tables', listener: (event: ChangesEvent) => void): this {
    this.#check(name);
    this.#publisher.emitter.off('changes', listener);
    return this;
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` where the option `changes` is not set */
  stats(): ChangeStats {
    return this.#check('tables').stats();
  }

  #check(name: string): Changes {
    if (name !== 'tables') throw new LadderError('LADDER_INVALID_OPTIONS', "changes: expected 'tables'");
    if (this.#changes === undefined)
      throw new LadderError(
        'LADDER_INVALID_OPTIONS',
        'changes: expected the option changes of createCluster to be set',
      );
    return this.#changes;
  }
}
