/**
 * A source that is not told of definitions goes no further than they are known to have held: where a
 * publication or a table was changed beyond, it may no longer tell all. It tells nothing of its own.
 */
import type { ChangeHandler, ChangeSource, ChangeStart, ChangeSubscription, TableChange } from '../change-source.js';
import { clearInterval, setInterval } from '../clock.js';
import { type Lsn, older } from '../freshness/lsn.js';
import type { Definitions } from './ledger.js';

const LOOK_MILLIS = 50;
const NOT_SHOWN = 'no replica shows the definitions so far: is its replay paused, or late?';

/** A source that reads what it knows of tables anew when definitions have changed. */
export interface RereadingSource extends ChangeSource {
  definitionsChanged(): Promise<void>;
}

export class WatchedSource implements RereadingSource {
  readonly #source: ChangeSource;
  readonly #definitions: Definitions;
  readonly #held = new Set<HeldBack>();

  constructor(source: ChangeSource, definitions: Definitions) {
    this.#source = source;
    this.#definitions = definitions;
  }

  subscribe(handler: ChangeHandler): ChangeSubscription {
    const held = new HeldBack(handler, this.#definitions);
    this.#held.add(held);
    const subscription = this.#source.subscribe(held);
    return {
      heldBack: () => subscription.heldBack?.() ?? held.heldBack,
      close: async () => {
        this.#held.delete(held);
        held.stop();
        await subscription.close();
      },
    };
  }

  async definitionsChanged(): Promise<void> {
    const held = [...this.#held];
    for (const one of held) one.hold();
    try {
      await this.#source.definitionsChanged?.();
    } finally {
      for (const one of held) one.release();
    }
  }
}

/** Passes on what is told, and what is reached once definitions are known to hold so far. */
class HeldBack implements ChangeHandler {
  readonly #handler: ChangeHandler;
  readonly #definitions: Definitions;
  #holdCount = 0;
  #reached: Lsn | undefined;
  #passed: Lsn = 0n;
  #isHeldBack = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(handler: ChangeHandler, definitions: Definitions) {
    this.#handler = handler;
    this.#definitions = definitions;
  }

  /** Why nothing further is passed on for now. */
  get heldBack(): string | undefined {
    if (!this.#isHeldBack || this.#reached === undefined || this.#reached <= this.#passed) return undefined;
    return this.#definitions.problem ?? NOT_SHOWN;
  }

  hold(): void {
    this.#holdCount++;
  }

  release(): void {
    this.#holdCount--;
    this.#pass();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  began(start: ChangeStart): void {
    this.#reached = undefined;
    this.#passed = start.lsn;
    this.#isHeldBack = !start.tellsDefinitions;
    this.stop();
    if (this.#isHeldBack) this.#timer = setInterval(() => this.#pass(), LOOK_MILLIS).unref();
    this.#handler.began(start);
  }

  changed(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    this.#handler.changed(changes, lsn);
  }

  reached(lsn: Lsn): void {
    this.#reached = lsn;
    this.#pass();
  }

  broken(reason: string): void {
    this.stop();
    this.#reached = undefined;
    this.#handler.broken(reason);
  }

  #pass(): void {
    if (this.#reached === undefined) return;
    if (!this.#isHeldBack) {
      this.#handler.reached(this.#reached);
      return;
    }
    this.#definitions.want();
    const { unchangedThrough } = this.#definitions;
    if (this.#holdCount > 0 || unchangedThrough === undefined) return;
    const through = older(this.#reached, unchangedThrough);
    if (through <= this.#passed) return;
    this.#passed = through;
    this.#handler.reached(through);
  }
}
