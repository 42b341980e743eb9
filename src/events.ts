/**
 * What the library tells about itself, on an EventEmitter and on `diagnostics_channel`. A payload is built only when
 * somebody listens; none carries SQL, values or connection strings.
 */
import { type Channel, channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';

/** Every {@link Reason}. */
export const reasons = [
  'write',
  'transaction',
  'hint',
  'affinity',
  'partition',
  'balanced',
  'gated',
  'waited',
  'retried',
  'sticky',
  'behind-floor',
  'too-stale',
  'floor-unknown',
  'cold-start',
  'no-candidate',
] as const;

/**
 * Why a statement went where it went.
 *
 * On a replica: `affinity` (the session's last one, still fresh enough), `partition` (the partition key's own), `balanced` (known to be fresh enough), `gated` (shown to be by one look at its position), `waited` (became so
 * within `waitMillis`), `retried` (the first node was lost under the read), `hint` (`target`). On the primary: `write`, `transaction`, `hint`,
 * `retried`, `behind-floor` and `too-stale` (no replica was fresh enough in time), `sticky` (within the window after a write, with
 * `tracking: 'window'`), `floor-unknown` (the session's last write has
 * no position yet), `cold-start` (nothing is known of any replica yet), `no-candidate` (no replica, or none that answers).
 */
export type Reason = (typeof reasons)[number];

/** A statement has been placed. */
export interface RouteEvent {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** Why it went there. */
  readonly reason: Reason;
  /** Time spent on finding a fresh node, in milliseconds. */
  readonly waitedMillis: number;
}

/** A statement has ended. */
export interface QueryEvent {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** From asking for a connection to the result or the error, in milliseconds. */
  readonly durationMillis: number;
  readonly rowCount: number | null;
  /** The error's SQLSTATE or code; `undefined` when the statement succeeded. */
  readonly errorCode: string | undefined;
}

/** What is known of a node has changed. */
export interface NodeEvent {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** `unknown`: nothing is known, no read goes there. `live`: it answers. `lagging`: it answers and is staler than `maxLagMillis`. */
  readonly state: 'unknown' | 'live' | 'lagging';
  readonly previous: 'unknown' | 'live' | 'lagging';
  /** What brought it about, in a few words. */
  readonly cause: string;
}

/** Event names and what they carry. Each is also the `diagnostics_channel` `pg-ladder:<name>`. */
export interface LadderEventMap {
  route: [RouteEvent];
  query: [QueryEvent];
  node: [NodeEvent];
}

/** What `cluster.events` is: the usual EventEmitter, typed. */
export type LadderEvents = EventEmitter<LadderEventMap>;

type Name = keyof LadderEventMap;

export class Publisher {
  readonly emitter: LadderEvents = new EventEmitter<LadderEventMap>();
  readonly #channels: Readonly<Record<Name, Channel>> = {
    route: channel('pg-ladder:route'),
    query: channel('pg-ladder:query'),
    node: channel('pg-ladder:node'),
  };

  /** Whether anybody listens; ask before building a payload. */
  wants(name: Name): boolean {
    return this.#channels[name].hasSubscribers || this.emitter.listenerCount(name) > 0;
  }

  publish<N extends Name>(name: N, payload: LadderEventMap[N][0]): void {
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
  }
}
