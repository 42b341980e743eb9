/**
 * Which transactions are held open for too long: without a statement, or in all. It tells of each once, and has it ended
 * where that is wanted. One timer for all of them, and none while there are none. It knows connections by what their
 * servers say on them; what ending means is decided by those who hold them.
 */
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { DecisionLog } from '../decision-log.js';
import type { Untold, WarningEvent } from '../events.js';
import type { TransactionLimits } from '../options/cluster.js';
import { type Wire, wireOf } from '../postgres/internals.js';
import type { Publisher } from '../publisher.js';
import { ADVICE, type Beginning, type Excess, type Holding, WatchedConnection } from './watched-connection.js';

/** How many looks fit into the shortest bound: a transaction is found that much too late at most. */
const LOOKS = 20;
const LEAST_MILLIS = 2;
const STACK_FRAMES = 25;

/** What is done about transactions that exceed a bound, for `stats()`. */
export interface TransactionStats {
  /** Transactions that are open and watched now. */
  readonly open: number;
  /** Those that were idle for longer than `idleInTransactionMillis`, since the start. */
  readonly idleCount: number;
  /** Those that were open for longer than `maxTransactionMillis`, since the start. */
  readonly longCount: number;
  /** How many of them were ended. */
  readonly endedCount: number;
}

export class TransactionWatch {
  readonly limits: TransactionLimits;
  readonly #publisher: Publisher;
  readonly #keepsStacks = process.env['NODE_ENV'] !== 'production' || new DecisionLog().isOn;
  readonly #grainMillis: number;
  readonly #followed = new Set<WatchedConnection>();
  readonly #open = new Set<WatchedConnection>();
  #timer: NodeJS.Timeout | undefined;
  #dueAt = Number.POSITIVE_INFINITY;
  #isClosed = false;
  readonly #counts = { idleCount: 0, longCount: 0, endedCount: 0 };

  constructor(limits: TransactionLimits, publisher: Publisher) {
    this.limits = limits;
    this.#publisher = publisher;
    const { idleMillis = Number.POSITIVE_INFINITY, maxMillis = Number.POSITIVE_INFINITY } = limits;
    this.#grainMillis = Math.max(LEAST_MILLIS, Math.min(idleMillis, maxMillis) / LOOKS);
  }

  get stats(): TransactionStats {
    return { open: this.#open.size, ...this.#counts };
  }

  /** To be called where a transaction may begin, in the stack of its user's code. @returns `undefined` where no stack is kept */
  readonly here = (): Beginning | undefined => {
    if (!this.#keepsStacks) return undefined;
    const holder: { stack?: string } = {};
    const { stackTraceLimit } = Error;
    try {
      Error.stackTraceLimit = STACK_FRAMES;
      Error.captureStackTrace(holder, this.here);
      // It is put into words when it is read, which costs far more.
      return holder as Beginning;
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  };

  /** @param isOpen whether a transaction is open there already @returns `undefined` where its server's words cannot be heard */
  follow(holding: Holding, isOpen: boolean): WatchedConnection | undefined {
    const wire = wireOf(holding.client);
    if (this.#isClosed || wire?.prependListener === undefined) return undefined;
    const connection = new WatchedConnection(holding, wire as Wire, this.limits, {
      opened: () => this.#opened(connection),
      over: () => this.#open.delete(connection),
      left: () => this.#followed.delete(connection),
      exceeded: (excess) => this.#exceeded(connection, excess),
    });
    this.#followed.add(connection);
    if (isOpen) connection.begun();
    return connection;
  }

  /** Nothing is watched any more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const connection of this.#followed) connection.stop();
  }

  #opened(connection: WatchedConnection): void {
    this.#open.add(connection);
    const now = performance.now();
    this.#arm(now, connection.dueAt(now));
  }

  #arm(now: number, dueAt: number): void {
    if (this.#isClosed || dueAt >= this.#dueAt) return;
    clearTimeout(this.#timer);
    this.#dueAt = dueAt;
    this.#timer = setTimeout(() => this.#look(), Math.max(this.#grainMillis, dueAt - now)).unref();
  }

  #look(): void {
    this.#dueAt = Number.POSITIVE_INFINITY;
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const connection of this.#open) {
      connection.look(now);
      if (this.#open.has(connection)) next = Math.min(next, connection.dueAt(now));
    }
    if (next < Number.POSITIVE_INFINITY) this.#arm(now, next);
  }

  #exceeded(connection: WatchedConnection, { kind, millis, isFirst, isEnded }: Excess): void {
    if (isFirst && kind === 'idle') this.#counts.idleCount++;
    if (isFirst && kind === 'long') this.#counts.longCount++;
    if (isEnded) this.#counts.endedCount++;
    if (!isFirst || !this.#publisher.wants('warning')) return;
    const { text, beginning, calling, node } = connection;
    const tell = async (): Promise<void> => {
      const digest = text === undefined ? undefined : await this.#publisher.digestOf(text);
      const what = kind === 'idle' ? 'without a statement' : 'in all';
      const warning: Untold<WarningEvent> = {
        code: kind === 'idle' ? 'idle-in-transaction' : 'long-transaction',
        message:
          `a transaction on node "${node}" has been open ${what} for ${Math.round(millis)} ms` +
          `${digest === undefined ? '' : `, its latest statement has the digest ${digest}`}: ` +
          `${isEnded ? 'it was ended' : 'it holds its connection and its locks'}; ${ADVICE}`,
        node,
        millis,
        ...(digest === undefined ? {} : { digest }),
        ...(beginning?.stack === undefined ? {} : { stack: withoutHead(beginning.stack) }),
      };
      this.#publisher.publish('warning', warning, calling);
    };
    tell().catch(() => undefined);
  }
}

/** Without its first line, which names no error. */
function withoutHead(stack: string): string {
  return stack.slice(stack.indexOf('\n') + 1);
}
