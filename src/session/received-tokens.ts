/**
 * The tokens that a session was handed: what they say goes onto its floor, at the latest when a read or a token first
 * needs it. It decides about no token by itself.
 */
import type { Floor } from '../freshness/floor.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import { MAX_TOKENS } from '../token/merge.js';
import { orderOf, SEPARATOR } from '../token/order.js';
import { Arrivals } from './arrivals.js';
import type { SessionRunner } from './runner.js';
import type { Subject } from './subject.js';

/** What decides about tokens. */
type TokenJudge = Pick<SessionRunner<never>, 'claim' | 'reader'>;

export class ReceivedTokens {
  readonly #floor: Floor;
  readonly #trace: ReadTrace | undefined;
  readonly #subject: Subject;
  readonly #judge: TokenJudge;
  #arrivals: Arrivals | undefined;
  /** How many of the accepted tokens are on the floor. */
  #appliedCount: number;
  #observed: string | undefined;
  #pinnedBy: string | undefined;

  /** @param start those of the session around it, from which it starts */
  constructor(
    floor: Floor,
    trace: ReadTrace | undefined,
    subject: Subject,
    judge: TokenJudge,
    start: ReceivedTokens | undefined,
  ) {
    this.#floor = floor;
    this.#trace = trace;
    this.#subject = subject;
    this.#judge = judge;
    this.#arrivals = start === undefined ? undefined : start.#arrivals;
    this.#appliedCount = start === undefined ? 0 : start.#appliedCount;
  }

  /** Lays tokens on the floor at once: one, or several with dots between them. */
  observe(text: string): void {
    const isSeveral = typeof text === 'string' && text.includes(SEPARATOR);
    const tokens = isSeveral ? text.split(SEPARATOR, MAX_TOKENS) : [text];
    // What is no list of tokens is one text that is none.
    if (isSeveral && tokens.some((token) => orderOf(token) === undefined)) this.#observe(text);
    else for (const token of tokens) this.#observe(token);
  }

  #observe(token: string): void {
    this.#observed ??= token;
    const outcome = this.#judge.claim(this.#floor, token, this.#subject);
    if (outcome === 'pinned') this.#pinnedBy = token;
    if (outcome !== 'refused') this.#trace?.tookToken();
  }

  /** See {@link CarriedSession.startFrom}. */
  startFrom(tokens: readonly string[], onForeign?: () => void): void {
    if (tokens.length === 0) return;
    this.#arrivals = new Arrivals(tokens, this.#judge.reader, this.#subject, onForeign);
    this.#appliedCount = 0;
  }

  /** Decides about tokens that wait, and lays the accepted ones on the floor. @throws what the subject's function throws */
  apply(): void {
    const arrivals = this.#arrivals;
    if (arrivals === undefined) return;
    arrivals.settle();
    for (const { token, claim } of arrivals.accepted.slice(this.#appliedCount)) {
      this.#floor.startFrom(claim);
      this.#trace?.tookToken();
      if (claim === undefined) this.#pinnedBy = token;
    }
    this.#appliedCount = arrivals.accepted.length;
  }

  /** Whether the session started from that token. */
  hasAccepted(token: string): boolean {
    return this.#arrivals?.accepted.some((arrival) => arrival.token === token) === true;
  }

  /** The token that keeps the session's reads on the primary. No field, so that no log shows it. */
  pinnedBy(): string | undefined {
    return this.#pinnedBy;
  }

  /** The first token of the session. No field, either. */
  first(): string | undefined {
    return this.#observed ?? this.#arrivals?.accepted[0]?.token;
  }
}
