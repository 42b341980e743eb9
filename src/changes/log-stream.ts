/**
 * Tells what one stream of the log says: commits in their order, and how far all is told. While it
 * is not known whether the tables are still the same, it tells nothing as reached.
 */
import type { ChangeHandler } from '../change-source.js';
import { clearInterval, performance, setImmediate, setInterval, setTimeout } from '../clock.js';
import type { Lsn } from '../freshness/lsn.js';
import { DEFINITIONS_PREFIX } from './names.js';
import { readMessage } from './pgoutput.js';
import type { Publication } from './publication.js';
import type { LogListener } from './replication-connection.js';
import { SourceFault } from './source-fault.js';
import { AnnouncedRelations, TransactionChanges } from './transaction-changes.js';

/** What the stream needs of its surroundings. */
export interface StreamGround {
  readonly handler: ChangeHandler;
  readonly timeline: number;
  /** Whether the source is where it began: the same primary, timeline and start of the server. */
  isSame(): boolean;
  /** Says how far the log was processed. */
  report(processed: Lsn, asks: boolean): void;
  /** Reads anew what the publication tells. */
  read(): Promise<Publication>;
}

const TICK_MILLIS = 250;
/** Silence after which the server is asked for a sign of life. */
const ASK_MILLIS = 1_000;
/** The server cuts off a client that is silent for so long, and sends a keepalive in half that time. */
export const SILENCE_MILLIS = 5_000;
/** The publication is looked at that often, and no more than a fiftieth of the time. */
const LOOK_MILLIS = 1_000;
const LOOK_SHARE = 50;
/** A transaction that the log tells may not be shown yet, as while a synchronous standby holds it back. */
const [FIRST_PAUSE_MILLIS, LAST_PAUSE_MILLIS] = [5, 250];
const INVISIBLE =
  'a transaction that has changed definitions is in the log, and not visible yet: does its commit wait for a synchronous standby?';
/** The publication cannot be read: after so long that is a fault. */
const READ_MILLIS = 5_000;

export class LogStream implements LogListener {
  /** Settles when it can go on no longer, with what is wrong. */
  readonly failed: Promise<SourceFault>;
  readonly #ground: StreamGround;
  readonly #relations: AnnouncedRelations;
  #fail: (fault: SourceFault) => void = () => undefined;
  #isOver = false;
  #transaction: TransactionChanges | undefined;
  /** All that ends there or before is told. */
  #told: Lsn;
  #reached: Lsn;
  #reported: Lsn = 0n;
  #heardAt = performance.now();
  #askedAt = Number.NEGATIVE_INFINITY;
  #ticking: NodeJS.Timeout | undefined;
  /** Whether nothing is told as reached. */
  #isHeld = false;
  /** Grows when the publication has to be read anew. */
  #holdCount = 0;
  /** Transactions that have to be shown by what is read. */
  readonly #xids = new Set<number>();
  /** Whether one of them was not shown when it was looked for last. */
  #isInvisible = false;
  /** What was read holds from there on. */
  #passAt: Lsn | undefined;
  #reading: Promise<void> | undefined;
  #lookAt = performance.now() + LOOK_MILLIS;

  /** @param start from there on the log is told */
  constructor(ground: StreamGround, publication: Publication, start: Lsn) {
    this.#ground = ground;
    this.#relations = new AnnouncedRelations(publication);
    this.#told = start;
    this.#reached = start;
    this.failed = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /** Begins to look after the stream. */
  start(): void {
    this.#began();
    this.#ticking = setInterval(() => this.#tick(), TICK_MILLIS);
    this.#ticking.unref();
  }

  /** Tells nothing any more. */
  stop(): void {
    this.#isOver = true;
    clearInterval(this.#ticking);
  }

  /** Why nothing further is reached for now. */
  get heldBack(): string | undefined {
    return this.#isHeld && this.#isInvisible ? INVISIBLE : undefined;
  }

  message(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#heardAt = performance.now();
    const transaction = this.#transaction;
    const message = readMessage(bytes, transaction?.keyOf ?? noKey);
    switch (message.is) {
      case 'begin':
        this.#transaction = new TransactionChanges(message.xid, this.#relations);
        return;
      case 'commit':
        this.#transaction = undefined;
        if (transaction !== undefined) this.#committed(transaction, message.end);
        return;
      case 'relation':
        if (this.#relations.announce(message.relation) && transaction !== undefined) transaction.isOfDefinitions = true;
        return;
      case 'row':
        transaction?.row(message.oid, message.keys);
        return;
      case 'emptied':
        for (const oid of message.oids) transaction?.whole(oid);
        return;
      case 'message':
        if (message.prefix === DEFINITIONS_PREFIX) this.#definitions(message.isTransactional, message.lsn);
    }
  }

  keepalive(end: Lsn, isAsked: boolean): void {
    if (this.#isOver) return;
    this.#heardAt = performance.now();
    // Within a transaction it runs ahead of the commit.
    if (this.#transaction === undefined) this.#advance(end);
    if (isAsked) this.#report(false);
  }

  /** Definitions may have changed, by the word of somebody else. Resolves when what is known of tables is told anew. */
  async definitionsChanged(): Promise<void> {
    if (this.#isOver) return;
    this.#hold();
    await this.#reading;
  }

  #definitions(isTransactional: boolean, lsn: Lsn): void {
    if (isTransactional && this.#transaction !== undefined) {
      this.#transaction.isOfAll = true;
      this.#transaction.isOfDefinitions = true;
      return;
    }
    this.#ground.handler.changed('all', lsn);
    this.#hold();
  }

  #committed(transaction: TransactionChanges, end: Lsn): void {
    const told = transaction.told();
    if (told !== undefined) this.#ground.handler.changed(told, end);
    if (told === 'all' || transaction.isOfDefinitions) {
      this.#xids.add(transaction.xid);
      this.#hold();
    }
    this.#advance(end);
  }

  #advance(lsn: Lsn): void {
    if (lsn > this.#told) this.#told = lsn;
    if (this.#isHeld) {
      if (this.#passAt === undefined || this.#told < this.#passAt) return;
      this.#isHeld = false;
      this.#passAt = undefined;
    }
    if (this.#told <= this.#reached || !this.#ground.isSame()) return;
    this.#reached = this.#told;
    this.#ground.handler.reached(this.#told);
  }

  /** Tells nothing as reached until the publication was read anew. */
  #hold(): void {
    this.#isHeld = true;
    this.#passAt = undefined;
    this.#holdCount++;
    this.#reading ??= this.#read();
  }

  /** Looks whether the publication is still the same, though nothing has told that it is not. */
  #look(): void {
    this.#reading ??= this.#read();
  }

  async #read(): Promise<void> {
    const begunAt = performance.now();
    let pauseMillis = FIRST_PAUSE_MILLIS;
    try {
      while (!this.#isOver) {
        const holdCount = this.#holdCount;
        const publication = await this.#ground.read().catch(() => undefined);
        if (this.#isOver) return;
        if (publication === undefined && performance.now() - begunAt > READ_MILLIS)
          throw new SourceFault('the publication cannot be read');
        const shown = publication !== undefined && [...this.#xids].every((xid) => publication.shows(xid));
        this.#isInvisible = publication !== undefined && !shown;
        if (publication !== undefined && shown && holdCount === this.#holdCount) {
          this.#adopt(publication);
          return;
        }
        if (holdCount !== this.#holdCount) continue;
        await pause(pauseMillis);
        pauseMillis = Math.min(2 * pauseMillis, LAST_PAUSE_MILLIS);
      }
    } catch (error) {
      this.#fail(error instanceof SourceFault ? error : new SourceFault('the publication cannot be read'));
    } finally {
      this.#reading = undefined;
      const now = performance.now();
      this.#lookAt = now + Math.max(LOOK_MILLIS, LOOK_SHARE * (now - begunAt));
    }
  }

  #adopt(publication: Publication): void {
    this.#xids.clear();
    const before = this.#relations.publication;
    if (publication.signature !== before.signature) {
      if (publication.problem !== undefined) throw new SourceFault(publication.problem);
      this.#relations.adopt(publication);
      this.#isHeld = true;
      const isTheSame =
        publication.tellsDefinitions === before.tellsDefinitions && areSame(publication.tables, before.tables);
      if (isTheSame) this.#ground.handler.changed('all', this.#told);
      else this.#began();
    }
    if (!this.#isHeld) return;
    // It may show what the log has not told yet.
    this.#passAt = publication.lsn;
    this.#advance(this.#told);
  }

  #began(): void {
    const { tables, tellsDefinitions } = this.#relations.publication;
    this.#ground.handler.began({ timeline: this.#ground.timeline, lsn: this.#told, tables, tellsDefinitions });
    this.#reached = this.#told;
  }

  #report(asks: boolean): void {
    this.#reported = this.#told;
    this.#ground.report(this.#told, asks);
  }

  #tick(): void {
    const now = performance.now();
    if (!this.#ground.isSame()) {
      this.#fail(new SourceFault('the primary is another one, or was started anew'));
      return;
    }
    const silentMillis = now - this.#heardAt;
    if (silentMillis > SILENCE_MILLIS) this.#silent();
    if (silentMillis > ASK_MILLIS && now - this.#askedAt > ASK_MILLIS) {
      this.#askedAt = now;
      this.#report(true);
    } else if (this.#told > this.#reported) {
      this.#report(false);
    }
    if (now > this.#lookAt) this.#look();
  }

  /** Our own event loop may have been held up: what lies in the socket is read first. */
  #silent(): void {
    const heardAt = this.#heardAt;
    setImmediate(() =>
      setImmediate(() => {
        if (heardAt === this.#heardAt) this.#fail(new SourceFault('the server is silent', true));
      }),
    );
  }
}

function noKey(): undefined {
  return undefined;
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((table, i) => table === b[i]);
}

function pause(millis: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, millis).unref();
  });
}
