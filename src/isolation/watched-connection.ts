/**
 * One connection on which transactions are watched: since when one is open there, and since when it is without a statement. It
 * goes by what the server says, and by what is sent. It looks when it is told to; who is told, and what ending means, is decided
 * elsewhere.
 */
import type { AsyncResource } from 'node:async_hooks';
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import type { TransactionLimits } from '../options/cluster.js';
import { isBusy, type Wire } from '../postgres/internals.js';
import { endsTransaction } from '../sql/statement-start.js';

export const ADVICE = 'await nothing but statements within it, and COMMIT or ROLLBACK on every way out';

/** Why a statement of a transaction that was ended is refused; each has a stack of its own. */
export type Expiry = () => LadderError;

/** A connection, and who holds it. */
export interface Holding {
  /** pg's client. */
  readonly client: object;
  /** Its server's name. */
  readonly node: string;
  /** Closes it. Called once, and never while something is under way there that may commit. */
  readonly end: (expiry: Expiry) => void;
}

/** Where a transaction was begun. */
export interface Beginning {
  readonly stack: string | undefined;
}

/** A transaction exceeds a bound. */
export interface Excess {
  readonly kind: 'idle' | 'long';
  readonly millis: number;
  /** Whether it was not told before. */
  readonly isFirst: boolean;
  readonly isEnded: boolean;
}

export interface Watcher {
  opened(): void;
  over(): void;
  left(): void;
  exceeded(excess: Excess): void;
}

/** One connection, for as long as somebody holds it. */
export class WatchedConnection {
  /** The latest statement's. */
  text: string | undefined;
  beginning: Beginning | undefined;
  calling: AsyncResource | undefined;
  readonly #holding: Holding;
  readonly #wire: Wire;
  readonly #limits: TransactionLimits;
  readonly #watcher: Watcher;
  readonly #told = new Set<Excess['kind']>();
  /** Our monotonic clock; `undefined` outside any transaction. */
  #beganAt: number | undefined;
  #idleSince = 0;
  /** Whether something was sent that may end the transaction, and may not be answered. */
  #mayCommit = false;

  constructor(holding: Holding, wire: Wire, limits: TransactionLimits, watcher: Watcher) {
    this.#holding = holding;
    this.#wire = wire;
    this.#limits = limits;
    this.#watcher = watcher;
    // Before pg hears of it, and sends what comes next.
    wire.prependListener('readyForQuery', this.#ready);
    wire.on('end', this.#ended);
  }

  get node(): string {
    return this.#holding.node;
  }

  /** A statement is about to be sent. @param text `undefined` where it is unknown */
  sends(text: string | undefined, calling: AsyncResource, beginning?: Beginning): void {
    this.text = text;
    this.begins(calling, beginning);
    this.#mayCommit ||= text === undefined || endsTransaction(text);
  }

  /** By whom its transaction is begun, unless one is open. */
  begins(calling: AsyncResource, beginning: Beginning | undefined): void {
    this.calling ??= calling;
    this.beginning ??= beginning;
  }

  /** A transaction is open on it from now on. */
  begun(): void {
    const now = performance.now();
    this.#idleSince = now;
    if (this.#beganAt !== undefined) return;
    this.#beganAt = now;
    this.#watcher.opened();
  }

  /** When it may exceed a bound that it has not exceeded yet. */
  dueAt(now: number): number {
    const { idleMillis = Number.POSITIVE_INFINITY, maxMillis = Number.POSITIVE_INFINITY, ends } = this.#limits;
    const isPending = (kind: Excess['kind']): boolean => ends || !this.#told.has(kind);
    const idleSince = isBusy(this.#holding.client) ? now : this.#idleSince;
    return Math.min(
      isPending('idle') ? idleSince + idleMillis : Number.POSITIVE_INFINITY,
      isPending('long') ? (this.#beganAt ?? now) + maxMillis : Number.POSITIVE_INFINITY,
    );
  }

  /** Says so where it exceeds a bound. */
  look(now: number): void {
    const { idleMillis = Number.POSITIVE_INFINITY, maxMillis = Number.POSITIVE_INFINITY } = this.#limits;
    if (this.#beganAt === undefined) return;
    const isIdle = !isBusy(this.#holding.client);
    const open = now - this.#beganAt;
    if (isIdle && now - this.#idleSince >= idleMillis) this.#exceeds('idle', now - this.#idleSince, idleMillis, true);
    else if (open >= maxMillis) this.#exceeds('long', open, maxMillis, isIdle);
  }

  /** Nobody holds it any more, or whoever does has no transaction there that is of interest. */
  stop(): void {
    this.#wire.removeListener('readyForQuery', this.#ready);
    this.#wire.removeListener('end', this.#ended);
    this.#over();
    this.#watcher.left();
  }

  #exceeds(kind: Excess['kind'], millis: number, limit: number, isIdle: boolean): void {
    const isFirst = !this.#told.has(kind);
    // What may commit decides by itself.
    const isEnded = this.#limits.ends && (isIdle || !this.#mayCommit);
    if (!(isFirst || isEnded)) return;
    this.#told.add(kind);
    this.#watcher.exceeded({ kind, millis, isFirst, isEnded });
    if (!isEnded) return;
    const { node, end } = this.#holding;
    this.stop();
    end(() => tooLong(kind, millis, limit, node));
  }

  readonly #ready = ({ status }: { readonly status?: string }): void => {
    if (status === 'I') {
      this.#over();
      return;
    }
    // COMMIT AND CHAIN, or a text that begins the next one behind it.
    if (this.#mayCommit && this.#beganAt !== undefined) this.#beganAt = performance.now();
    this.#mayCommit = false;
    this.begun();
  };

  readonly #ended = (): void => this.stop();

  #over(): void {
    this.#beganAt = undefined;
    this.#mayCommit = false;
    this.text = undefined;
    this.beginning = undefined;
    this.calling = undefined;
    this.#told.clear();
    this.#watcher.over();
  }
}

function tooLong(kind: Excess['kind'], millis: number, limit: number, node: string): LadderError {
  const [what, option] =
    kind === 'idle' ? ['without a statement', 'idleInTransactionMillis'] : ['in all', 'maxTransactionMillis'];
  return new LadderError(
    'LADDER_TRANSACTION_TOO_LONG',
    `the transaction on node "${node}" was open ${what} for ${Math.round(millis)} ms (${option}: ${limit}): it was ended, ` +
      `and everything in it rolled back; ${ADVICE}, or allow more time`,
  );
}
