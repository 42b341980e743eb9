/** Counts the positions that are given up, by why. Why one is, is decided elsewhere. */

/** How many positions were given up since the start, by why. */
export interface RefusedPositions {
  /** Not a token of a version that is read, or of another length. */
  malformed: number;
  /** Not signed with one of the secrets, or for another subject. */
  forged: number;
  /** Older than the tokens' lifetime. */
  expired: number;
  /** Of another cluster. */
  foreign: number;
  /** Above everything that the primary has written, asked after the position had arrived. */
  ahead: number;
  /** Written on a timeline after it had been left: the write is gone. */
  lost: number;
  /** Of a write that a lost primary had acknowledged. It is not known whether the present one has it. */
  uncertain: number;
}

export class RefusalCounts implements RefusedPositions {
  malformed = 0;
  forged = 0;
  expired = 0;
  foreign = 0;
  ahead = 0;
  lost = 0;
  uncertain = 0;
  readonly #told: ((why: keyof RefusedPositions) => void) | undefined;

  /** @param told called for each */
  constructor(told: ((why: keyof RefusedPositions) => void) | undefined) {
    this.#told = told;
  }

  snapshot(): RefusedPositions {
    const { malformed, forged, expired, foreign, ahead, lost, uncertain } = this;
    return { malformed, forged, expired, foreign, ahead, lost, uncertain };
  }

  count(why: keyof RefusedPositions): void {
    this[why]++;
    this.#told?.(why);
  }
}
