/** The tokens of sessions: what one says when it comes in, and what one is made of. It knows of no request and no answer. */
import { wallMillis } from '../clock.js';
import { FirstSights } from '../freshness/first-sights.js';
import type { Claim, Floor } from '../freshness/floor.js';
import { newerPosition } from '../freshness/position.js';
import type { Fleet } from '../nodes/fleet.js';
import { type Moment, momentOf, type Refused } from '../session/arrivals.js';
import type { SessionScope } from '../session/scope.js';
import { type Subject, subjectOf } from '../session/subject.js';
import { TokenCodec } from '../token/codec.js';
import { commitPosition } from './commit-position.js';
import { confirmVisible } from './visibility.js';

export class SessionTokens {
  readonly #fleet: Fleet;
  readonly #codec: TokenCodec;
  readonly #firstSights = new FirstSights();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    const { secrets, tokenLifetimeMillis, tokenVersion } = fleet.settings;
    this.#codec = new TokenCodec(secrets, tokenLifetimeMillis, tokenVersion);
  }

  /** Lays a stranger's token on a floor; one that is refused is counted and otherwise absent. */
  claim(floor: Floor, token: unknown, subject: Subject): 'pinned' | 'claimed' | 'refused' {
    const found = this.judge(token, subjectOf(subject), typeof subject === 'function', momentOf());
    if (found === 'primary-only') {
      floor.pin();
      return 'pinned';
    }
    if (typeof found === 'string') {
      this.#fleet.history.refused.count(found);
      return 'refused';
    }
    floor.claim(found.position, found.arrivedAt, found.until);
    return 'claimed';
  }

  /** See {@link TokenReader.judge}. A token without a subject holds for every subject so that users see what they wrote before they logged in. */
  judge(
    token: unknown,
    subject: string | undefined,
    isAsked: boolean,
    { epochMillis, monotonicMillis }: Moment,
  ): Claim | 'primary-only' | Refused {
    const { history, settings } = this.#fleet;
    let position = this.#codec.decode(token, epochMillis, subject);
    if (position === 'forged' && subject !== undefined && isAsked) position = this.#codec.decode(token, epochMillis);
    if (typeof position === 'string') return position;
    if ('onPrimaryOf' in position) return this.#isOwn(position.onPrimaryOf) ? 'primary-only' : 'foreign';
    const isKnown = position.timeline <= history.timelines.timeline;
    const arrivedAt = isKnown ? monotonicMillis : this.#firstSights.of(token as string, monotonicMillis);
    return { position, arrivedAt, until: arrivedAt + settings.tokenLifetimeMillis, isRefused: false };
  }

  isToken(text: unknown): text is string {
    return this.#codec.isToken(text);
  }

  /** The token of a session. @throws LadderError `LADDER_POSITION_UNAVAILABLE` */
  async token(scope: SessionScope): Promise<string> {
    const floor = scope.tokenFloor();
    const { trace } = scope;
    // A position says nothing of what the primary shows: where the next session reads there, it must show what this one has seen.
    const showing = trace?.isCarried === true ? confirmVisible(this.#fleet, trace) : undefined;
    const [own] = await Promise.all([commitPosition(this.#fleet, floor), showing]);
    // What its bearer did meanwhile, in another session of this process, has a token already that this one must not take the place of.
    const position = own.lsn === 0n ? own : newerPosition(this.#fleet.history.position, own);
    return this.#codec.encode(position, wallMillis(), subjectOf(scope.tokenSubject()));
  }

  primaryOnlyToken(subject: Subject): string {
    return this.#codec.encodePrimaryOnly(wallMillis(), subjectOf(subject), this.#fleet.history.clusterId);
  }

  /** As far as that is known. */
  #isOwn(clusterId: string | undefined): boolean {
    const { clusterId: own } = this.#fleet.history;
    return clusterId === undefined || own === undefined || clusterId === own;
  }
}
