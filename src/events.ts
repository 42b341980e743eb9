/**
 * What the library tells about itself, on an EventEmitter and on `diagnostics_channel`. A payload is built only when
 * somebody listens; none carries SQL, values or connection strings.
 */
import { type Channel, channel } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { DecisionLog } from './decision-log.js';
import { MAX_MESSAGE_LENGTH, printable } from './printable.js';

/** Every {@link Reason}. */
export const reasons = [
  'write',
  'transaction',
  'session-state',
  'misrouted',
  'hint',
  'affinity',
  'partition',
  'next-in-order',
  'hot-key',
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
 * On a replica: `affinity` (the session's last one, still fresh enough), `partition` (the partition key's own), `next-in-order` (the key's own is not
 * fresh enough, has too much to do, or is out), `hot-key` (one of the several that the key's traffic is spread over, or the primary, where that is chosen), `balanced` (known to be fresh enough), `gated` (shown to be by one look at its position), `waited` (became so
 * within `waitMillis`), `retried` (the first node was lost under the read, or held it up), `hint` (`target`). On the primary: `write`, `transaction`, `session-state` (it
 * belongs to a connection, and those of a pool belong to nobody), `misrouted` (a replica refused it), `hint`,
 * `retried`, `behind-floor` and `too-stale` (no replica was fresh enough in time), `sticky` (within the window after a write, with
 * `tracking: 'window'`), `floor-unknown` (the session's last write has
 * no position yet), `cold-start` (nothing is known of any replica yet), `no-candidate` (no replica, or none that answers).
 */
export type Reason = (typeof reasons)[number];

/** The places on the ladder that can answer, the dearest last. */
export type RungName = 'replica' | 'primary';

/** A statement, or a transaction, has been placed. */
export interface RouteEvent {
  /** Names the call within this process: the `query` events of its statements carry the same. */
  readonly id: number;
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** Why it went there. */
  readonly reason: Reason;
  /** Time spent on finding a fresh node, in milliseconds. */
  readonly waitedMillis: number;
}

/** A statement has ended: also BEGIN and COMMIT, a cursor, a stream. */
export interface QueryEvent {
  /** Names the call, as in the `route` event that said where it goes. The statements of one `transaction()` share it. */
  readonly id: number;
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** From sending it to the result or the error, in milliseconds. */
  readonly durationMillis: number;
  readonly rowCount: number | null;
  /** The error's SQLSTATE or code; `undefined` when the statement succeeded. */
  readonly errorCode: string | undefined;
}

/** What is known of a node's health, in a word; see {@link NodeEvent.state}. */
export type NodeState = 'unknown' | 'live' | 'lagging' | 'ejected' | 'probation';

/** What is known of a node has changed. */
export interface NodeEvent {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /**
   * `unknown`: it does not answer, or is not shown to follow the primary; no read goes there. `live`: it answers. `lagging`: it answers and is
   * staler than `maxLagMillis`. `ejected`: it failed, hung or was far slower than the others; out of rotation for 1 to 4 s. `probation`: it is back, or its
   * server was started anew, and takes a share of the reads that grows for 5 s.
   */
  readonly state: NodeState;
  readonly previous: NodeState;
  /** What brought it about, in a few words. */
  readonly cause: string;
}

/** Who takes writes has changed. */
export interface TopologyEvent {
  /**
   * `found`: the first primary. `promotion`: another node has become the primary. `returned`: the primary answers again. `vacant`: no node that
   * answers takes writes. `contested`: two do, and none of them gets any.
   */
  readonly change: 'found' | 'promotion' | 'returned' | 'vacant' | 'contested';
  /** The primary's name; `undefined` while there is none. */
  readonly primary: string | undefined;
  /** The primary before, where there was another one or is none now. */
  readonly previous: string | undefined;
  /** The timeline it writes; the last one that is known while there is none. */
  readonly timeline: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** A node has been found by discovery, or has gone. */
export interface MembershipEvent {
  /** The node's name. */
  readonly node: string;
  /** `left`: no new statement goes there; those that are under way end there, and then its pool is closed. */
  readonly change: 'joined' | 'left';
}

/** After a failover, a session's position is not in the history of the present primary. */
export interface TokenLostEvent {
  /**
   * `true`: it lies above the point where the present primary left the timeline it was written on. `false`: the primary was lost before it told
   * where the write had ended, so that nobody knows.
   */
  readonly isCertain: boolean;
  /** Such positions since the start, this one included: as in `stats().tokens`, `lost` or `uncertain`. */
  readonly count: number;
}

/** Something that works and is likely not meant. */
export interface WarningEvent {
  /**
   * `session-state`: a statement whose effect belongs to its connection ran on a pool, or made a client of `cluster.pool()` keep to the primary. Told once for
   * all texts that differ in their constants only. `transaction-left-open`: a text began a transaction and did not end it; it was rolled back.
   * `misrouted`: no replica can run a text that was given to `read` or `stream`, such as one that reads an UNLOGGED table: it runs on the primary. Told once in the same way.
   * `released-in-transaction`: a client of `cluster.pool()` was released before COMMIT or ROLLBACK, or `query` of a pool has left a transaction open.
   * `write-after-headers`: a request wrote when the head
   * that would have carried its token was gone, and there is no TokenStore for it. `write-after-end`: with one, a request wrote when its whole answer was gone: its
   * user's next request may miss that. `position-late`: an answer carries no position, since the primary did not tell it in time, and keeps its
   * bearer's reads on the primary. `token-store`: a TokenStore failed, and reads go to the primary instead; or it had not kept
   * a token when the answer ended.
   * `subject`: a token did not count for a read, or was left out of an answer, since the `subject` function named nobody, or failed.
   * `discovery`: it gave no list of servers that could be used, and nothing changes; or a server that it found may not inherit a login, and is not joined
   * (`inheritCredentials`). `serializable-default`: reads run REPEATABLE READ on a replica that refuses what is their default, as `onSerializableDefault` allows. `no-positions`: the servers tell no positions in the log, and windows after writes take their place. `suspicious-primary`: a server says
   * that it is the primary, and cannot be, so that it gets nothing; or one that was taken for it by its own word alone is gone, and the one before is the primary
   * again. Told once for each claim. `closed-under-way`: `close({ timeoutMillis })` has waited for so long, and cut off what was not over.
   * `grammar`: PostgreSQL's grammar cannot be loaded here, so that `query`, `explain` and `cluster.pool()` take everything for a
   * write, until a later try succeeds. Told once.
   */
  readonly code:
    | 'session-state'
    | 'transaction-left-open'
    | 'misrouted'
    | 'released-in-transaction'
    | 'write-after-headers'
    | 'write-after-end'
    | 'position-late'
    | 'token-store'
    | 'subject'
    | 'discovery'
    | 'no-positions'
    | 'serializable-default'
    | 'suspicious-primary'
    | 'closed-under-way'
    | 'grammar';
  /** What was found, and what to use instead; never SQL. */
  readonly message: string;
  /** Of `session-state`, `transaction-left-open` and `misrouted`: names the statement. It is equal for texts that differ in their constants only. */
  readonly digest?: string;
  /** Of `discovery`, `token-store` and `grammar`: what was thrown, not enumerable. Somebody else's error may say anything, secrets included. */
  readonly cause?: unknown;
}

/** The warning with what somebody else threw, for who asks for it: what others have written stays out of whatever prints the event. */
export function becauseOf(cause: unknown, warning: WarningEvent): WarningEvent {
  return Object.defineProperty(warning, 'cause', { value: cause });
}

/** Event names and what they carry. Each is also the `diagnostics_channel` `pg-ladder:<name>`. */
export interface LadderEventMap {
  route: [RouteEvent];
  query: [QueryEvent];
  node: [NodeEvent];
  topology: [TopologyEvent];
  membership: [MembershipEvent];
  tokenLost: [TokenLostEvent];
  warning: [WarningEvent];
}

/** What `cluster.events` is: the usual EventEmitter, typed. */
export type LadderEvents = EventEmitter<LadderEventMap>;

type Name = keyof LadderEventMap;

/** What `NODE_DEBUG=pg-ladder` prints: where statements go, and what that follows from. */
const PRINTED: ReadonlySet<Name> = new Set<Name>(['route', 'node', 'topology', 'membership']);

export class Publisher {
  /** What a statement is called in what is told of it. Set by who can read it. */
  digestOf: (text: string) => Promise<string> = async () => 'unknown';
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
    warning: channel('pg-ladder:warning'),
  };

  /** Whether anybody listens; ask before building a payload. */
  wants(name: Name): boolean {
    if (this.#isPrinting && PRINTED.has(name)) return true;
    return this.#channels[name].hasSubscribers || this.emitter.listenerCount(name) > 0;
  }

  publish<N extends Name>(name: N, given: LadderEventMap[N][0]): void {
    const payload = name === 'warning' ? shown(given as WarningEvent) : given;
    if (this.#isPrinting && PRINTED.has(name)) this.#log.print(name, payload);
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

/** A warning may quote what others have written. */
function shown(warning: WarningEvent): WarningEvent {
  const message = printable(warning.message, MAX_MESSAGE_LENGTH);
  if (message === warning.message) return warning;
  // Also its cause, which is hidden from whatever prints it.
  const own = Object.getOwnPropertyDescriptors(warning);
  return Object.defineProperties({} as WarningEvent, { ...own, message: { ...own.message, value: message } });
}
