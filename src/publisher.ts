/**
 * Tells events on an EventEmitter and on `diagnostics_channel`, and prints decisions where
 * `NODE_DEBUG` asks for them. Each says which cluster it is of. A payload is built only when
 * somebody listens.
 */
import type { AsyncResource } from 'node:async_hooks';
import { type Channel, channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { emptyContext } from './async-context.js';
import { DecisionLog } from './decision-log.js';
import type { LadderEventMap, LadderEvents, Untold, WarningEvent } from './events.js';
import { MAX_MESSAGE_LENGTH, printable } from './printable.js';

type Name = keyof LadderEventMap;

/** What `NODE_DEBUG=pg-ladder` prints: where statements go, and what that follows from. */
const PRINTED: ReadonlySet<Name> = new Set<Name>(['route', 'node', 'topology', 'membership']);

export class Publisher {
  /** The cluster's name. */
  readonly cluster: string;
  /** The digest of a text, for warnings. The cluster sets it, since only it can read SQL. */
  digestOf: (text: string) => Promise<string> = async () => 'unknown';
  /** As `digestOf`; `undefined` while the grammar is not there, which is loaded then. */
  digestNow: (text: string) => string | undefined = () => undefined;
  readonly emitter: LadderEvents = new EventEmitter<LadderEventMap>();
  readonly #log = new DecisionLog();
  readonly #isPrinting = this.#log.isOn;
  readonly #channels: Readonly<Record<Name, Channel>> = {
    route: channel('pg-ladder:route'),
    query: channel('pg-ladder:query'),
    node: channel('pg-ladder:node'),
    topology: channel('pg-ladder:topology'),
    membership: channel('pg-ladder:membership'),
    tokenLost: channel('pg-ladder:tokenLost'),
    changes: channel('pg-ladder:changes'),
    warning: channel('pg-ladder:warning'),
  };

  constructor(cluster: string) {
    this.cluster = cluster;
  }

  /** Whether anybody listens; ask before building a payload. */
  wants(name: Name): boolean {
    if (this.#isPrinting && PRINTED.has(name)) return true;
    return this.#channels[name].hasSubscribers || this.emitter.listenerCount(name) > 0;
  }

  /**
   * @param given the publisher's from now on: it adds the cluster's name
   * @param calling the async context of the call that caused it, in which listeners run; none by default
   */
  publish<N extends Name>(name: N, given: Untold<LadderEventMap[N][0]>, calling: AsyncResource = emptyContext()): void {
    const untold = name === 'warning' ? shown(given as Untold<WarningEvent>) : given;
    // No copy: that would work out a digest that may never be read.
    const payload = Object.assign(untold, { cluster: this.cluster });
    if (this.#isPrinting && PRINTED.has(name)) this.#log.print(name, payload);
    calling.runInAsyncScope(() => {
      this.#channels[name].publish(payload);
      // The map's tuples hold one payload each; TypeScript cannot see that through the generic name.
      const emitter: EventEmitter = this.emitter;
      try {
        emitter.emit(name, payload);
      } catch (error) {
        // A listener's mistake is the listener's: it must not turn a committed write into a failed one.
        process.nextTick(() => {
          throw error;
        });
      }
    });
  }
}

/** A warning may quote what others have written. */
function shown(warning: Untold<WarningEvent>): Untold<WarningEvent> {
  const message = printable(warning.message, MAX_MESSAGE_LENGTH);
  if (message === warning.message) return warning;
  // Also its cause, which is hidden from whatever prints it.
  const own = Object.getOwnPropertyDescriptors(warning);
  return Object.defineProperties({} as Untold<WarningEvent>, { ...own, message: { ...own.message, value: message } });
}
