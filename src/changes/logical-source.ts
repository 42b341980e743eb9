/**
 * Tells changes by PostgreSQL's own log, through a temporary slot: a gap is never made good, it
 * begins anew. It goes on trying by itself, and leaves nothing behind on any server.
 */
import type { ChangeHandler, ChangeSource, ChangeSubscription } from '../change-source.js';
import { LogSubscription } from './log-subscription.js';
import type { LogicalSourceOptions, SourceGround } from './source-ground.js';

export class LogicalSource implements ChangeSource {
  readonly #ground: SourceGround;
  readonly #options: LogicalSourceOptions;
  readonly #open = new Set<LogSubscription>();

  constructor(ground: SourceGround, options: LogicalSourceOptions = {}) {
    this.#ground = ground;
    this.#options = options;
  }

  subscribe(handler: ChangeHandler): ChangeSubscription {
    const subscription = new LogSubscription(this.#ground, this.#options, handler);
    this.#open.add(subscription);
    return {
      heldBack: () => subscription.heldBack,
      close: async () => {
        this.#open.delete(subscription);
        await subscription.close();
      },
    };
  }

  /**
   * Definitions may have changed, by the word of somebody else. Resolves when what is known of
   * tables was read anew, and what has become of it was told.
   */
  async definitionsChanged(): Promise<void> {
    await Promise.all([...this.#open].map((subscription) => subscription.definitionsChanged()));
  }
}
