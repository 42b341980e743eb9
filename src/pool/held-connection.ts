/** A replica's connection that a client holds for longer than a statement: for a read-only transaction, a cursor, or until it is released. */

import type { PoolClient } from 'pg';
import { clearInterval, performance, setInterval } from '../clock.js';
import type { ExecutionContext } from '../execute/context.js';
import { openSeries } from '../execute/open-series.js';
import { place } from '../execute/place.js';
import { leave, type Placement } from '../execute/placement.js';
import { failedOn } from '../execute/statement.js';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { bytesReadOn, isQueryable } from '../postgres/internals.js';
import { submit, submitQuery } from '../postgres/submit.js';
import type { TransactionStatus } from '../postgres/transaction-status.js';
import type { SessionScope } from '../session/session.js';
import type { Introduce } from './access.js';
import type { Answer, Job, Submittable } from './job.js';

/** What streams on after its client was released, and brings nothing for so long, is nobody's. */
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
    context: ExecutionContext,
    need: Need,
    introduce: Introduce | undefined,
    first: (hold: HeldConnection) => Promise<unknown>,
  ): Promise<HeldConnection> {
    const startedAt = performance.now();
    const find = (lostOn: ReadonlySet<Node> | undefined): Promise<Placement> =>
      place(context, need, startedAt, lostOn, undefined);
    let hold: HeldConnection | undefined;
    await openSeries(
      context.fleet,
      find,
      (placement) => {
        introduce?.(placement.connection.client);
        hold = new HeldConnection(placement);
        return first(hold);
      },
      undefined,
    );
    return hold as unknown as HeldConnection;
  }

  get isOnPrimary(): boolean {
    return this.#placement.node.role === 'primary';
  }

  get status(): TransactionStatus {
    return this.#placement.connection.status();
  }

  /** Runs a statement. @param leavesState whether the connection must serve nobody else afterwards */
  run({ query, values, answer }: Job, leavesState: boolean): Promise<void> {
    this.#mustClose ||= leavesState;
    this.#placement.node.statementCount++;
    const { connection } = this.#placement;
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
      submitQuery(this.#client, query, values, answered);
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
    this.#placement.node.statementCount++;
    this.isStreaming = true;
    return new Promise((resolve, reject) => {
      const over = (): void => {
        this.isStreaming = false;
        client.removeListener('drain', over);
        client.removeListener('end', lost);
        this.#onEnd?.();
        resolve();
      };
      this.#goOn = resolve;
      const lost = (): void => {
        this.#mustClose = true;
        over();
      };
      client.on('drain', over);
      client.on('end', lost);
      try {
        submit(client, submittable, callback);
      } catch (error) {
        reject(error as Error);
        lost();
      }
    });
  }

  /** The client was released while something streams: that goes on, and is given up when nothing has come for a while. */
  outlive(scope: SessionScope): void {
    const client = this.#client;
    let seen = bytesReadOn(client);
    const timer = setInterval(() => {
      const bytes = bytesReadOn(client);
      if (bytes === seen) this.#onEnd?.();
      seen = bytes;
    }, SILENCE_MILLIS).unref();
    this.#onEnd = () => {
      clearInterval(timer);
      this.leave(scope, this.isStreaming || this.status !== 'I');
    };
    this.#goOn?.();
  }

  /** Gives the connection back, or closes one that must serve nobody else. */
  leave({ trace }: SessionScope, isBroken = false): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    const { connection } = this.#placement;
    connection.client.release(this.#mustClose || isBroken);
    leave(this.#placement);
    trace?.ended(connection.identity.server, performance.now());
  }

  get #client(): PoolClient {
    return this.#placement.connection.client;
  }
}
