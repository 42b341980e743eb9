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
  /** Of a write that the primary had acknowledged when it was lost, and of which nobody knows whether the present one has it. */
  uncertain: number;
}
