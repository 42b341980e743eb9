/**
 * The source of one connection's answers, for as long as it is known. Once something may have changed
 * it, it is unknown until the connection was asked again. It asks on idle connections and shared ones
 * only, so that no statement waits for it, and never makes a connection unusable.
 */
import type { Client, PoolClient } from 'pg';
import { inBackground } from '../async-context.js';
import { isQueryable, listenForSettings } from '../postgres/internals.js';
import { type AnswerSource, askSource, decidesAnswers, type KnownSource, unsettledSource } from './answer-source.js';
import type { SourceTally } from './answer-sources.js';
import { type Identity, isDirect } from './observation.js';

const POOLED = 'a pooler stands between, so settings do not stay with a connection';
/** Statements that may leave a setting. What a function sets within, no text says. */
const SETTING = /\b(?:set|reset|discard|set_config|set_limit|do|call|execute)\b/i;

/** A question may be cancelled, or take too long. One that is refused each time is one more error in the server's log. */
const MOST_REFUSED = 3;

export class SourceWatch {
  readonly #client: Client | PoolClient;
  readonly #server: string;
  readonly #tally: SourceTally;
  readonly #isShared: boolean;
  readonly #stopListening: () => void;
  /** What is said of it while its settings are unknown. */
  readonly #unsettled: AnswerSource | undefined;
  #found: KnownSource | string | undefined;
  /** Since when it is doubted: since its last use began, or from before that. */
  #doubt: 'none' | 'new' | 'old' = 'none';
  /** How often a use has given reason to doubt. */
  #doubtCount = 0;
  #isAsking = false;
  #refusedCount = 0;
  #isOver = false;

  /** @param isShared whether statements of many are under way on it, so that it is never idle */
  private constructor(client: Client | PoolClient, server: string, tally: SourceTally, isShared: boolean) {
    this.#client = client;
    this.#server = server;
    this.#tally = tally;
    this.#isShared = isShared;
    this.#unsettled = unsettledSource(client, server);
    const stop = listenForSettings(client, (name) => decidesAnswers(name) && this.#changed());
    const end = (): void => this.end();
    client.once('end', end);
    this.#stopListening = () => {
      stop();
      client.removeListener('end', end);
    };
  }

  /** Asks on a new connection. Rejects only where that was lost meanwhile. */
  static async open(
    client: Client | PoolClient,
    identity: Identity,
    tally: SourceTally,
    isShared: boolean,
  ): Promise<SourceWatch> {
    const watch = new SourceWatch(client, identity.server, tally, isShared);
    if (isDirect(client, identity)) await new Promise<void>((resolve) => watch.#ask(resolve));
    else watch.#learn(POOLED);
    if (!isQueryable(client)) {
      watch.end();
      throw new Error('Connection terminated');
    }
    return watch;
  }

  /** Without settings while they are unknown. */
  get source(): AnswerSource | undefined {
    const found = this.#found;
    return this.#doubt === 'none' && typeof found === 'object' ? found.source : this.#unsettled;
  }

  /** A statement is about to run there. @param text `undefined` where it is unknown */
  runs(text: string | undefined): void {
    if (text === undefined || SETTING.test(text)) this.doubt();
  }

  /** Somebody else may run there what he likes, until the connection is given back. */
  doubt(): void {
    this.#doubtCount++;
    if (this.#doubt === 'none') this.#doubt = 'new';
  }

  /** The pool's owner has used it. */
  usedByOwner(): void {
    this.#doubtCount++;
    this.#doubt = 'old';
  }

  /**
   * The library gives it back. It is asked again only once a read has run on it since: those who
   * never read there cause no question.
   * @param isIdle whether the pool still has it a moment later, and has not handed it out
   */
  released(isIdle: () => boolean): void {
    if (this.#doubt === 'new') this.#doubt = 'old';
    else if (this.#doubt === 'old') queueMicrotask(() => isIdle() && this.#ask());
  }

  /** Nothing is known of it from now on. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stopListening();
    if (this.#found !== undefined) this.#tally.remove(this.#found);
    this.#found = undefined;
  }

  /** The server has reported another value. */
  #changed(): void {
    // While an answer is waited for it comes first, and the answer knows of it.
    if (this.#isAsking) return;
    if (this.#doubt === 'none') this.#doubt = 'old';
    if (this.#isShared) this.#ask();
  }

  #ask(done?: () => void): void {
    if (this.#isOver || this.#isAsking || !isQueryable(this.#client)) {
      done?.();
      return;
    }
    const doubts = this.#doubtCount;
    const answered = (found: KnownSource | string): void => {
      this.#isAsking = false;
      this.#learn(found);
      const isFinal = typeof found === 'object' || ++this.#refusedCount >= MOST_REFUSED;
      if (!isFinal) this.#doubt = 'old';
      else if (this.#doubtCount === doubts) this.#doubt = 'none';
      if (!isFinal && this.#isShared) this.#ask(done);
      else done?.();
    };
    this.#isAsking = true;
    inBackground(() => askSource(this.#client, this.#server, answered));
  }

  #learn(found: KnownSource | string): void {
    if (this.#isOver) return;
    const before = this.#found;
    this.#found = found;
    this.#tally.add(found);
    if (before !== undefined) this.#tally.remove(before);
  }
}
