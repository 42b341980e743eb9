/** How long processes that share a log wait for each other. All must have about the same times. */

export interface RelayTimes {
  /** A leader tells at least so often that it is there. Default 1,000. */
  readonly heartbeatMillis: number;
  /** A leader that was not heard for so long is taken for gone. Default 3,000. */
  readonly silenceMillis: number;
  /** A process that has just begun waits only so long for a leader. Default 1,500. */
  readonly firstSilenceMillis: number;
  /** Up to so much is added by chance, so that not all try at once. Default 1,000. */
  readonly jitterMillis: number;
  /** At most one message in that time. Default 5. */
  readonly gatherMillis: number;
  /** A leader that does not hear itself for so long gives way. It doubles each time. Default 15,000. */
  readonly deafMillis: number;
}

export const DEFAULT_RELAY_TIMES: RelayTimes = {
  heartbeatMillis: 1_000,
  silenceMillis: 3_000,
  firstSilenceMillis: 1_500,
  jitterMillis: 1_000,
  gatherMillis: 5,
  deafMillis: 15_000,
};
