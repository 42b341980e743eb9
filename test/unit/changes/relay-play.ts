/** What is played where several processes share one log: the log, the relay between them, and the processes. */
import type { ChangeRelay } from '../../../src/change-relay.js';
import type { ChangeHandler, ChangeSource, ChangeStart } from '../../../src/change-source.js';
import type { RelayRole } from '../../../src/changes/relay-stats.js';
import { RelayedSource } from '../../../src/changes/relayed-source.js';

/** Where a relay, as Redis, passes messages between those who are not cut off. */
export class Exchange {
  readonly messages: string[] = [];
  readonly #listeners = new Set<{ heard: (message: string) => void; isCut: () => boolean }>();

  relay(isCut: () => boolean): ChangeRelay {
    return {
      publish: (message) => {
        if (!isCut()) this.pass(message);
      },
      listen: (heard) => {
        const listener = { heard, isCut };
        this.#listeners.add(listener);
        return { close: () => void this.#listeners.delete(listener) };
      },
    };
  }

  pass(message: string): void {
    this.messages.push(message);
    for (const { heard, isCut } of this.#listeners) if (!isCut()) setImmediate(heard, message);
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }
}

/** The log of a primary, which only one may read. */
export class Log {
  holder: ChangeHandler | undefined;
  end = 10n;
  tryCount = 0;
  readonly #frozen = new Set<ChangeHandler>();

  source(): ChangeSource {
    return {
      subscribe: (handler) => {
        const attempt = (): void => {
          this.tryCount++;
          if (this.holder !== undefined) {
            handler.broken('another process reads the log');
            return;
          }
          this.holder = handler;
          this.end += 1n;
          handler.began({ timeline: 1, lsn: this.end, tables: ['t'], tellsDefinitions: false });
        };
        setImmediate(attempt);
        const timer = setInterval(() => {
          if (this.holder !== handler && !this.#frozen.has(handler)) attempt();
        }, 500);
        return {
          close: async () => {
            clearInterval(timer);
            if (this.holder === handler) this.holder = undefined;
          },
        };
      },
    };
  }

  /** The server lets go of its client, which does not know it: it is frozen. */
  drop(): ChangeHandler {
    const { holder } = this;
    if (holder === undefined) throw new Error('nobody reads');
    this.#frozen.add(holder);
    this.holder = undefined;
    return holder;
  }

  commit(): void {
    this.end += 10n;
    this.holder?.changed([{ table: 't' }], this.end);
    this.holder?.reached(this.end);
  }
}

export class Process {
  readonly told: string[] = [];
  isCut = false;
  stream: string | undefined = '1/2';
  readonly source: RelayedSource;
  readonly #subscription;

  constructor(log: Log, exchange: Exchange) {
    const relay = exchange.relay(() => this.isCut);
    this.source = new RelayedSource({ source: log.source(), relay, stream: () => this.stream });
    this.#subscription = this.source.subscribe({
      began: ({ lsn }: ChangeStart) => void this.told.push(`began ${lsn}`),
      changed: (_changes, lsn) => void this.told.push(`changed ${lsn}`),
      reached: (lsn) => void this.told.push(`reached ${lsn}`),
      broken: (reason) => void this.told.push(`broken: ${reason}`),
    });
  }

  get role(): RelayRole {
    return this.source.stats.role;
  }

  /** What it was told since that was asked last. */
  news(): string[] {
    return this.told.splice(0);
  }

  close(): Promise<void> {
    return this.#subscription.close();
  }
}
