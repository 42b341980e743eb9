/**
 * A session of several clusters at once, for jobs and other code that no request carries. It is one
 * session of each, one within the other; their tokens travel in one text.
 */
import type { Cluster } from './cluster.js';
import { type Clusters, currentSessions, listOf, nested, tokensFor } from './clusters.js';
import type { SessionOptions } from './options/calls.js';
import { type CarriedSession, carriedBy } from './session/carried-session.js';
import { TOKEN_HEADER } from './session/session.js';
import { SEPARATOR } from './token/order.js';

/** The sessions that code has with several clusters, as one. */
export interface JointSession {
  /**
   * The tokens of all in one text, separated by dots, for a job or another service: `token` of
   * `jointSession` and of `cluster.session` take it.
   * @throws as `session.token()` does, of the first that has none
   */
  token(): Promise<string>;
  /** The same as headers of a request to another service. @throws as `token` does */
  headers(): Promise<Record<string, string>>;
  /** Raises each session to its token in the text. */
  observe(token: string): void;
}

/**
 * Runs `fn` within a session of each cluster. `cluster.read()` and the others find theirs by
 * themselves.
 * @param clusters up to eight
 * @param options of each of these sessions; `token` may be a text with the tokens of several
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function jointSession<T>(
  clusters: readonly Cluster[],
  fn: (session: JointSession) => T,
  { token, ...options }: SessionOptions = {},
): T {
  return nested(listOf(clusters), options, (sessions) => {
    const joint = new Joint(sessions.map(carriedBy));
    if (token !== undefined) joint.observe(token);
    return fn(joint);
  });
}

/** The sessions of the calling code with these clusters; `undefined` where it has none. */
export function currentJointSession(clusters: Clusters): JointSession | undefined {
  const sessions = currentSessions(listOf(clusters));
  return sessions.length === 0 ? undefined : new Joint(sessions);
}

class Joint implements JointSession {
  readonly #sessions: readonly CarriedSession[];

  constructor(sessions: readonly CarriedSession[]) {
    this.#sessions = sessions;
  }

  async token(): Promise<string> {
    const tokens = await Promise.all(this.#sessions.map((session) => session.token()));
    return tokens.join(SEPARATOR);
  }

  async headers(): Promise<Record<string, string>> {
    return { [TOKEN_HEADER]: await this.token() };
  }

  observe(token: string): void {
    const all = this.#sessions.map(({ carrier }) => carrier);
    const pieces = typeof token === 'string' ? token.split(SEPARATOR) : [token];
    for (const session of this.#sessions) {
      for (const piece of tokensFor(session.carrier, all, pieces)) session.observe(piece);
    }
  }
}
