/**
 * A session as those see it that carry it from request to request: whether it has something new to carry, which tokens
 * it came with, and when its writes are over. It decides nothing about where tokens travel.
 */
import type { Floor } from '../freshness/floor.js';
import type { ReadNotes } from '../freshness/read-notes.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { ReceivedTokens } from './received-tokens.js';
import type { CarrierTools } from './runner.js';
import type { Session } from './session.js';
import type { Subject } from './subject.js';

/** What is carried. */
interface Cargo extends Pick<Session, 'token' | 'observe'> {
  readonly floor: Floor;
  readonly trace: ReadTrace | undefined;
  readonly notes: ReadNotes | undefined;
  readonly received: ReceivedTokens;
  readonly carrier: CarrierTools;
  tokenSubject(): Subject;
  within<T>(fn: () => T): T;
}

export class CarriedSession {
  readonly #cargo: Cargo;
  #hasMoved = false;

  constructor(cargo: Cargo) {
    this.#cargo = cargo;
    this.whenMoved(() => undefined);
  }

  /**
   * Whether there is something new to carry: the session has written, was told of writes elsewhere, or has read where
   * reads are carried.
   */
  get hasMoved(): boolean {
    const { trace } = this.#cargo;
    return this.#hasMoved || (trace?.isCarried === true && trace.server !== undefined);
  }

  /** Whether it has written, or was told of writes elsewhere. */
  get hasWritten(): boolean {
    return this.#hasMoved;
  }

  /** What its reads have shown; `undefined` where it is not wanted. */
  get notes(): ReadNotes | undefined {
    return this.#cargo.notes;
  }

  /** Whether it has read anything that caches were not told of, as far as that is known. */
  get hasReadOn(): boolean {
    const { notes, trace } = this.#cargo;
    return notes === undefined ? trace?.server !== undefined : notes.hasReadOn;
  }

  /** Grows with all that was read and that tokens carry; 0 where they carry none. */
  get sightCount(): number {
    const { trace } = this.#cargo;
    return trace?.isCarried === true ? trace.sightCount : 0;
  }

  /** Whether it was told to read on the primary only, as far as its tokens have been applied. */
  get isPinned(): boolean {
    return this.#cargo.floor.isPinned;
  }

  /** Its unfinished writes, asked for since this was first read. */
  get pendingWriteCount(): number {
    return this.#cargo.floor.underWayCount;
  }

  /** Calls back once, when all of these have ended. */
  whenWritesEnd(listener: () => void): void {
    this.#cargo.floor.whenWritesAreOver(listener);
  }

  get carrier(): CarrierTools {
    return this.#cargo.carrier;
  }

  /** See {@link Session.token}. */
  token(): Promise<string> {
    return this.#cargo.token();
  }

  /** See {@link Session.observe}. */
  observe(token: string): void {
    this.#cargo.observe(token);
  }

  /** The token that keeps its reads on the primary; `undefined` where none does. */
  pinnedBy(): string | undefined {
    return this.#cargo.received.pinnedBy();
  }

  /**
   * Like `observe`, for tokens that the client holds already: they are read when a read or a token first needs them. At
   * most once in a session.
   * @param onForeign called when one is refused while the subject is nobody
   */
  startFrom(tokens: readonly string[], onForeign?: () => void): void {
    this.#cargo.received.startFrom(tokens, onForeign);
  }

  /** Reads these tokens now. @throws what the subject's function throws */
  applyTokens(): void {
    this.#cargo.received.apply();
  }

  /** Whether it started from that token. */
  hasAccepted(token: string): boolean {
    return this.#cargo.received.hasAccepted(token);
  }

  /** Called whenever the session has something new to carry. */
  whenMoved(listener: () => void): void {
    this.#cargo.floor.whenMoved(() => {
      this.#hasMoved = true;
      listener();
    });
  }

  /** Runs `fn` within it, for code that has lost its async context. */
  within<T>(fn: () => T): T {
    return this.#cargo.within(fn);
  }

  /** Keeps its own reads on the primary. Tokens do not carry that: what the session must see is unknown. */
  pin(): void {
    const hasMoved = this.#hasMoved;
    this.#cargo.floor.pin();
    this.#hasMoved = hasMoved;
  }

  /** A token that keeps the reads of a client that holds it on the primary until it expires. */
  primaryOnlyToken(): string {
    const { carrier } = this.#cargo;
    return carrier.primaryOnlyToken(this.#cargo.tokenSubject());
  }
}

/** The session that `cluster.session` hands out, as it is carried. */
export function carriedBy(session: Session): CarriedSession {
  return (session as Session & { readonly carried: CarriedSession }).carried;
}
