/**
 * Asks a replica, right behind reads on the same shared connection, how far they can have seen: no
 * further than its server had received. Sessions that read kept answers beside those of servers go
 * by that. It asks only while that pays, and claims nothing that it cannot prove.
 */
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import { UpperBound } from '../freshness/upper-bound.js';
import { codeOf, isServerError } from '../postgres/errors.js';
import { RECEIVED } from '../postgres/own-statements.js';
import { plainTypes } from '../postgres/plain-types.js';
import { Profile } from '../statements/profile.js';
import type { LaneConnection } from './lane-connection.js';
import type { Node } from './node.js';
import { isStreaming, type ReceivedRow, upperBoundFrom } from './received.js';

/** So long after a kept answer was compared with what its session had seen, it is asked. */
const WANTED_MILLIS = 1_000;
/** A replica that does not stream, or does not show it, is asked so much later. */
const UNSHOWN_MILLIS = 1_000;
/** One that refuses: its user may not ask, and each would be one more error in the server's log. */
const REFUSED_MILLIS = 60_000;

export class ReceiverLooks {
  readonly #history: PrimaryHistory;
  readonly #profile = new Profile(RECEIVED);
  #wantedAt = Number.NEGATIVE_INFINITY;
  /** Not sent yet: what else is read in this turn is asked for with it. */
  readonly #next = new Map<LaneConnection, UpperBound>();
  /** When a server may be asked again, by our monotonic clock. */
  readonly #restsUntil = new WeakMap<Node, number>();

  constructor(history: PrimaryHistory) {
    this.#history = history;
    this.#profile.comesAgain(RECEIVED);
  }

  /** A kept answer that changes keep current is compared with what its session has seen. */
  want(): void {
    this.#wantedAt = performance.now();
  }

  /**
   * A read was sent there, whose answer is compared with kept ones: asks behind it, and behind all that
   * is sent there in this turn. @returns `undefined` where nothing is asked
   */
  behind(node: Node, connection: LaneConnection, now = performance.now()): UpperBound | undefined {
    if (now - this.#wantedAt > WANTED_MILLIS || now < (this.#restsUntil.get(node) ?? now)) return undefined;
    // Behind a pooler the question may reach another server than the read.
    if (!connection.identity.isDirect) return undefined;
    const open = this.#next.get(connection);
    if (open !== undefined) return open;
    const upperBound = new UpperBound();
    this.#next.set(connection, upperBound);
    // Behind all promises of this turn: what goes on by an answer that has just come may send more.
    inBackground(() => process.nextTick(() => this.#send(node, connection, upperBound)));
    return upperBound;
  }

  #send(node: Node, connection: LaneConnection, upperBound: UpperBound): void {
    this.#next.delete(connection);
    const statement = { text: RECEIVED, values: [], rowMode: undefined, types: plainTypes };
    connection.send(statement, this.#profile, (error, result) => {
      const row = result?.rows[0] as ReceivedRow | undefined;
      if (error === null && isStreaming(row)) {
        // A replica that has strayed, or is not known to follow, has no position.
        const isHere = node.lsn !== undefined && node.observation?.identity.server === connection.identity.server;
        const position = isHere ? upperBoundFrom(row, connection.identity, this.#history) : undefined;
        upperBound.settle(position);
        return;
      }
      const isAnswered = error === null || isServerError(error);
      const restMillis = /^(?:42|0A)/.test(codeOf(error) ?? '') ? REFUSED_MILLIS : UNSHOWN_MILLIS;
      if (isAnswered) this.#restsUntil.set(node, performance.now() + restMillis);
      upperBound.settle(undefined);
    });
  }
}
