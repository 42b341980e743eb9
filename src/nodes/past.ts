/**
 * What a server has said in its present life, from its start to its end: PostgreSQL takes nothing of that back. A standby may be promoted, once; nothing that was replayed is
 * undone, and no timeline is changed without a promotion or a restart. Pure; which of the claims is believed is decided elsewhere.
 */

import type { Lsn } from '../freshness/lsn.js';
import { InvalidAnswer } from '../postgres/errors.js';
import type { Observation } from './observation.js';

export class Past {
  #server: string | undefined;
  /** What it has taken back: from then on it is believed nothing. */
  #fault: InvalidAnswer | undefined;
  #followedLsn: Lsn | undefined;
  #followedTimeline = 0;
  #wroteTimeline = 0;
  /** When it was first heard to take writes. */
  #wroteSince = Number.POSITIVE_INFINITY;

  /** How far it was seen to have replayed; `undefined` when it was never seen in recovery. */
  get followedLsn(): Lsn | undefined {
    return this.#followedLsn;
  }

  /** The latest timeline that it was shown to follow; 0 when it was not. */
  get followedTimeline(): number {
    return this.#followedTimeline;
  }

  /** @param now when the answer came, by our monotonic clock @throws InvalidAnswer when it takes back what it said before */
  heard(observation: Observation, now: number): void {
    const { identity, inRecovery, lsn, timeline, sentAt } = observation;
    if (identity.server !== this.#server) this.#begin(identity.server);
    // Behind a pooler another server may answer by now than the one that said who it is.
    if (!identity.isDirect) return;
    if (this.#fault !== undefined) throw this.#fault;
    // Answers of two connections may come in another order than they were given in.
    const isLater = sentAt > this.#wroteSince;
    if (inRecovery) {
      if (isLater) throw this.#unbelievable('it takes no writes any more, and was not restarted');
      if (this.#followedLsn === undefined || lsn > this.#followedLsn) this.#followedLsn = lsn;
      this.#followedTimeline = Math.max(this.#followedTimeline, timeline);
      return;
    }
    if (isLater && timeline !== this.#wroteTimeline)
      throw this.#unbelievable('it writes another timeline, and was not restarted');
    if (this.#wroteSince !== Number.POSITIVE_INFINITY) return;
    this.#wroteTimeline = timeline;
    this.#wroteSince = now;
  }

  #unbelievable(what: string): InvalidAnswer {
    this.#fault = new InvalidAnswer(what);
    return this.#fault;
  }

  #begin(server: string): void {
    this.#server = server;
    this.#fault = undefined;
    this.#followedLsn = undefined;
    this.#followedTimeline = 0;
    this.#wroteTimeline = 0;
    this.#wroteSince = Number.POSITIVE_INFINITY;
  }
}
