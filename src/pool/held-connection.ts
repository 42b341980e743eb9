/** A replica's connection that a client holds for longer than a statement: for a read-only transaction, a cursor, or until it is released. */

import type { PoolClient } from 'pg';
import { clearInterval, setInterval } from '../clock.js';
import type { Introduce } from '../execute/call.js';
import { failedOn } from '../execute/connection-state.js';
import { openSeries, type Placement } from '../execute/open-series.js';
import { place } from '../execute/place.js';
import type { Request } from '../execute/request.js';
import type { Answer, Submittable } from '../postgres/arguments.js';
import { bytesReadOn, isQueryable } from '../postgres/internals.js';
import { submit } from '../postgres/submit.js';
import type { TransactionStatus } from '../postgres/transaction-status.js';
import type { Job } from './job.js';

/** What is run, and who is told. */
type Answering = Pick<Job, 'query' | 'values' | 'answer'>;

/** What streams on after its client was released, and brings nothing for so long, is given up. */
const SILENCE_MILLIS = 5_000;

export class HeldConnection {
  readonly #placement: Placement;
  /** Whether it lasts until its client is released, and not only for a transaction. */
  keeps = false;
  isStreaming = false;
  #mustClose = false;
  #isLeft = false;
  #goOn: (() => void) | undefined;
  #onEnd: (() => void) | undefined;

  private constructor(placement: Placement) {
    this.#placement = placement;
  }

  /** A connection on which `first` has run. Where that is lost under it, another one. */
  static async begin(
    request: Request,
    introduce: Introduce | undefined,
    first: (hold: HeldConnection) => Promise<unknown>,
  ): Promise<HeldConnection> {
    let hold: HeldConnection | undefined;
    await openSeries(
      request,
      () => place(request),
      (placement) => {
        introduce?.(placement.connection.client);
        hold = new HeldConnection(placement);
        return first(hold);
      },
    );
    return hold as unknown as HeldConnection;
  }

  get isOnPrimary(): boolean {
    return this.#placement.attempt.node.role === 'primary';
  }

  get status(): TransactionStatus {
    return this.#placement.connection.status();
  }

  /** Runs a statement. @param leavesState whether the connection must serve no other caller afterwards */
  run({ query, values, answer }: Answering, leavesState: boolean): Promise<void> {
    this.#mustClose ||= leavesState;
    const { attempt, connection } = this.#placement;
    return new Promise((resolve) => {
      const answered: Answer = (error, result) => {
        const over = (): void => {
          this.#mustClose ||= connection.isLost || !isQueryable(this.#client);
          // What comes next is decided before the user hears of it.
          resolve();
          answer(error, result);
        };
        if (error) failedOn(connection, error, over);
        else over();
      };
      attempt.submit(this.#client, query, values, answered);
    });
  }

  /** Resolves when pg is done with it, or its client is gone. */
  submit(submittable: Submittable, callback: Answer | undefined): Promise<void> {
    const client = this.#client;
    if (!isQueryable(client)) {
      this.#mustClose = true;
      submit(client, submittable, callback);
      return Promise.resolve();
    }
    const { attempt } = this.#placement;
    this.isStreaming = true;
    return new Promise((resolve, reject) => {
      this.#goOn = resolve;
      const over = (isLost: boolean): void => {
        this.#mustClose ||= isLost;
        this.isStreaming = false;
        this.#onEnd?.();
        // Behind the error, where pg has thrown one.
        queueMicrotask(resolve);
      };
      try {
        attempt.follow(client, submittable, () => submit(client, submittable, callback), over);
      } catch (error) {
        reject(error as Error);
      }
    });
  }

  /** The client was released while something streams: that goes on, and is given up when nothing has come for a while. */
  outlive(): void {
    const client = this.#client;
    let seen = bytesReadOn(client);
    const timer = setInterval(() => {
      const bytes = bytesReadOn(client);
      if (bytes === seen) this.#onEnd?.();
      seen = bytes;
    }, SILENCE_MILLIS).unref();
    this.#onEnd = () => {
      clearInterval(timer);
      this.leave(this.isStreaming || this.status !== 'I');
    };
    this.#goOn?.();
  }

  /** Gives the connection back, or closes one that must serve no other caller. */
  leave(isBroken = false): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    const { attempt, connection } = this.#placement;
    connection.client.release(this.#mustClose || isBroken);
    attempt.leave(connection.identity.server);
  }

  get #client(): PoolClient {
    return this.#placement.connection.client;
  }
}
