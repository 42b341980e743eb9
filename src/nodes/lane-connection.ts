/**
 * One connection with many statements under way: they are answered in the order in which they were sent. It measures how long each keeps the server
 * busy, and when one takes too long it lets go of those behind it. What may go there is decided elsewhere.
 */

import type { Writable } from 'node:stream';
import type { Client, QueryArrayConfig, QueryResult, Submittable } from 'pg';
import { performance, setImmediate, setTimeout } from '../clock.js';
import { refusesSerializable } from '../postgres/errors.js';
import { bytesReadOn, dropSocket } from '../postgres/internals.js';
import { LaneQuery, type LaneQueryConfig } from '../postgres/lane-query.js';
import type { PreparedConfig } from '../postgres/prepared-query.js';
import { preparing } from '../postgres/preparing-query.js';
import { StatementNames } from '../postgres/statement-names.js';
import type { Profile } from '../statements/profile.js';
import type { AnswerSource } from './answer-source.js';
import type { Identity } from './observation.js';
import type { SourceWatch } from './source-watch.js';

/** Why a statement got no answer there: it is to be run elsewhere, and nothing is wrong with it, nor with the server. */
export class LaneEvicted extends Error {}

/** @param now our monotonic clock */
export type Settle = (error: Error | null, result: QueryResult | undefined, now: number) => void;

/** A statement whose values are plain; see `writable`. */
export type LaneStatement = LaneQueryConfig;

interface Sent {
  readonly profile: Profile;
  readonly expectedMillis: number;
  readonly sentAt: number;
  /** Whether the server reads its catalogue for it first, and plans it. */
  readonly isCold: boolean;
  /** Unset when the answer is no longer waited for. */
  settle: Settle | undefined;
}

/** pg's Client with what its types leave out. */
type PipelinedClient = Client & {
  ref(): void;
  unref(): void;
  readonly connection: { readonly stream: Writable };
};

/** How often it looks whether the foremost statement takes too long. */
const LOOK_MILLIS = 20;
/** A statement that was fast before and is not over by then may take any time. */
const HELD_UP_MILLIS = 40;
/** What is expected to be under way: beyond that the pool, with a connection for each statement, is faster. */
const MAX_BACKLOG_MILLIS = 10;
const CANCELLED = '57014';
/** PostgreSQL's routine behind RAISE. */
const RAISING = 'exec_stmt_raise';
/** The first statements of a connection also fill its backend's caches: they say nothing of how fast the server is. */
const WARMING_COUNT = 8;

/** How a connection is used. */
export interface LaneManner {
  readonly maxInFlight: number;
  /** Whether statements are prepared on it. */
  readonly isNaming: boolean;
  /** Whether it has a shorter `statement_timeout` than the user's connections have. */
  readonly isCapped: boolean;
  /** The way to the server and back. */
  readonly roundTripMillis: () => number;
  /** A trivial statement would have been answered after so long; at least, where it had to wait for others and the way itself is not seen. */
  readonly took: (millis: number, now: number, isWhole: boolean) => void;
  /** Its server, a standby, refuses what is sent there since it would be SERIALIZABLE. */
  readonly refused: () => void;
}

export class LaneConnection {
  readonly identity: Identity;
  readonly #client: PipelinedClient;
  readonly #names: StatementNames | undefined;
  readonly #manner: LaneManner;
  readonly #isOfOurPg: boolean;
  readonly #sourceWatch: SourceWatch | undefined;
  readonly #sent: Sent[] = [];
  #sentCount = 0;
  #backlogMillis = 0;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #isHeldUp = false;
  /** Counts the turns of the event loop in which several statements were sent. */
  turn = 0;
  #isCorked = false;
  #isEnding = false;
  #looking: NodeJS.Timeout | undefined;
  /** What it had received when it was last doubted. */
  #doubtedAt: number | undefined;

  constructor(client: PipelinedClient, identity: Identity, manner: LaneManner, sourceWatch?: SourceWatch) {
    this.#client = client;
    this.identity = identity;
    this.#sourceWatch = sourceWatch;
    this.#manner = manner;
    this.#isOfOurPg = LaneQuery.suits(client);
    this.#names = manner.isNaming ? StatementNames.of(client) : undefined;
  }

  /** To be looked at; nothing is sent past this connection. */
  get client(): object {
    return this.#client;
  }

  /** See {@link DataConnection.source}. */
  get source(): AnswerSource | undefined {
    return this.#sourceWatch?.source;
  }

  get inFlight(): number {
    return this.#sent.length;
  }

  get hasRoom(): boolean {
    return (
      this.#sent.length < this.#manner.maxInFlight &&
      this.#backlogMillis < MAX_BACKLOG_MILLIS &&
      !this.#isHeldUp &&
      !this.#isEnding
    );
  }

  /** Sends it behind whatever is under way. @param settle told once: what the server answers, or `LetGo` */
  send(statement: LaneStatement, profile: Profile, settle: Settle): void {
    const { text, values, rowMode, types } = statement;
    const names = this.#names;
    const sentAt = performance.now();
    const name = names?.use(profile, sentAt);
    const { expectedMillis } = profile;
    const isCold = this.#sentCount++ < WARMING_COUNT || name?.isReady === false;
    const sent: Sent = { profile, expectedMillis, sentAt, isCold, settle };
    if (this.#sent.push(sent) === 1) this.#look();
    else this.#cork();
    this.#backlogMillis += expectedMillis;
    const answer = (error: Error | null, result: QueryResult): void => {
      if (error !== null && refusesSerializable(error)) this.#manner.refused();
      // A name that is in use and did not fail needs no second look.
      const isInUse = name === undefined || (error === null && name.isReady);
      const isToBlame = !isInUse && names?.settle(profile, name, error) === true;
      names?.over();
      if (isToBlame) this.#answered(sent, new LaneEvicted('its plan may be outdated'), undefined);
      else this.#answered(sent, error, result);
    };
    try {
      if (names !== undefined && name !== undefined && this.#isOfOurPg) {
        this.#client.query(new LaneQuery(statement, names, name, answer) as unknown as Submittable);
        return;
      }
      // To those who instrument pg a name is one also when it is undefined.
      const plain = { ...(name === undefined ? {} : { name: name.text }), text, values, rowMode, types };
      const query = plain as unknown as PreparedConfig;
      const isNamed = names !== undefined && name !== undefined;
      const asked = isNamed ? preparing(this.#client, query, values, names, name) : query;
      this.#client.query(asked as QueryArrayConfig, answer);
    } catch (error) {
      // Half of it may have been written: whatever comes next would be read as its rest.
      answer(error as Error, undefined as never);
      this.drop();
    }
  }

  /** Whether it still lives is unknown until something comes on it. */
  doubt(): void {
    this.#doubtedAt = this.#receivedBytes;
  }

  get isDoubted(): boolean {
    return this.#doubtedAt !== undefined && this.#doubtedAt === this.#receivedBytes;
  }

  /** How long the foremost statement has been under way, in milliseconds; 0 where there is none. */
  waitedMillis(now: number): number {
    const [foremost] = this.#sent;
    return foremost === undefined ? 0 : now - foremost.sentAt;
  }

  get #receivedBytes(): number {
    return bytesReadOn(this.#client);
  }

  /** Takes nothing more, and ends when what is under way has been answered. */
  async end(): Promise<void> {
    this.#isEnding = true;
    await this.#client.end();
  }

  /** Closes the socket: whatever is under way fails at once. */
  drop(): void {
    this.#isEnding = true;
    dropSocket(this.#client);
  }

  #answered(sent: Sent, error: Error | null, result: QueryResult | undefined): void {
    const now = performance.now();
    const at = this.#sent[0] === sent ? 0 : this.#sent.indexOf(sent);
    if (at < 0) return;
    if (at === 0) this.#sent.shift();
    else this.#sent.splice(at, 1);
    this.#backlogMillis = this.#sent.length === 0 ? 0 : this.#backlogMillis - sent.expectedMillis;
    if (error === null) this.#took(sent, now);
    this.#answeredAt = now;
    this.#isHeldUp = false;
    sent.settle?.(this.#isTimeout(error) ? letGo(sent.profile, now) : error, result, now);
  }

  /** When the server got to the foremost statement, give or take half the way. */
  #begunAt({ sentAt }: Sent): number {
    return Math.max(sentAt + this.#manner.roundTripMillis(), this.#answeredAt);
  }

  #took(sent: Sent, now: number): void {
    const { profile, expectedMillis } = sent;
    const begunAt = this.#begunAt(sent);
    const servedMillis = now - begunAt;
    if (profile.isShort && !sent.isCold) {
      const millis = this.#manner.roundTripMillis() + Math.max(0, servedMillis - expectedMillis);
      this.#manner.took(millis, now, begunAt > this.#answeredAt);
    }
    profile.took(servedMillis);
  }

  #isTimeout(error: Error | null): boolean {
    const { code, routine } = (error ?? {}) as { code?: unknown; routine?: unknown };
    // A function may raise the same by itself.
    return this.#manner.isCapped && code === CANCELLED && routine !== RAISING;
  }

  /** What is sent within one turn of the event loop goes out in one piece. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    const { stream } = this.#client.connection;
    stream.cork();
    setImmediate(() => {
      this.#isCorked = false;
      this.turn++;
      stream.uncork();
    });
  }

  /** Looks now and then, as long as something is under way; only then it holds the process alive. */
  #look(): void {
    if (this.#looking !== undefined) return;
    this.#client.ref();
    this.#looking = setTimeout(() => {
      this.#looking = undefined;
      const [foremost] = this.#sent;
      if (foremost === undefined) {
        this.#client.unref();
        return;
      }
      // The answer may already lie in the socket while our own event loop was held up: let it be read first.
      if (performance.now() - this.#begunAt(foremost) >= HELD_UP_MILLIS) {
        setImmediate(() => this.#sent[0] === foremost && this.#letGoBehind(foremost));
      }
      this.#look();
    }, LOOK_MILLIS).unref();
  }

  /** The foremost may take any time: those behind it are run elsewhere, and what the server still answers them goes nowhere. */
  #letGoBehind(foremost: Sent): void {
    if (this.#isHeldUp) return;
    this.#isHeldUp = true;
    const now = performance.now();
    foremost.profile.heldUp(now);
    const error = new LaneEvicted('the statement before it takes too long');
    for (const sent of this.#sent) {
      if (sent === foremost) continue;
      const { settle } = sent;
      sent.settle = undefined;
      settle?.(error, undefined, now);
    }
  }
}

/** It took longer than a statement may that shares its connection. */
function letGo(profile: Profile, now: number): LaneEvicted {
  profile.heldUp(now);
  return new LaneEvicted('it takes too long for a shared connection');
}
