/**
 * What a token store must do. It keeps tokens on the server, for clients that keep neither cookies
 * nor headers, and for writes that come after the head of an answer has left.
 */

export interface TokenStore {
  /**
   * Returns what is kept for a key: tokens, separated by dots.
   * @returns `undefined` when nothing is kept, or it has expired
   * @throws anything (rejects) when it cannot be told; the request then reads from the primary
   */
  get(key: string): Promise<string | undefined>;
  /**
   * Merges a token, or several, into what is kept: of each cluster the highest position wins, see
   * `mergedTokens`.
   * @param lifetimeMillis how long to keep it, in milliseconds, above 0
   * @throws anything (rejects) when it cannot be kept; a `token-store` warning tells of it
   */
  put(key: string, token: string, lifetimeMillis: number): Promise<void>;
}
