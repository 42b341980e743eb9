/** Who is asking: what the session has written and been handed, and what its reads ask for. It runs nothing by itself. */
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { Floor } from '../freshness/floor.js';
import type { PrimaryTrail } from '../freshness/primary-trail.js';
import { type Requirement, requirementOf } from '../freshness/requirement.js';
import { decodeToken } from '../freshness/token.js';
import type { ReadOptions, SessionOptions } from '../options.js';

/** A scope within which reads see the writes that came before them. */
export interface Session {
  /** As `cluster.read`, for code that passes the session explicitly or has lost its async context. */
  read<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  /** As `cluster.write`. */
  write<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
  ): Promise<QueryResult<Row>>;
  /**
   * The session's position as a string of 41 characters that are safe in headers, cookies and URLs; hand it to whoever must see
   * the session's writes. It is not signed: whoever can change it can ask for fresher or staler reads of his own, nothing else.
   * @throws LadderError `LADDER_POSITION_UNAVAILABLE` when the primary does not tell it
   */
  token(): Promise<string>;
  /** Raises the session to a token's position. A token that is malformed, foreign or forged counts as absent, and in `stats().tokens`. */
  observe(token: string): void;
}

/** What runs a session's statements. */
export interface SessionRunner {
  read<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  write<Row extends QueryResultRow>(
    scope: SessionScope,
    query: string | QueryConfig,
    values?: readonly unknown[],
  ): Promise<QueryResult<Row>>;
  token(scope: SessionScope): Promise<string>;
}

export class SessionScope implements Session {
  readonly floor: Floor;
  readonly requirement: Requirement;
  readonly #runner: SessionRunner;
  readonly #trail: PrimaryTrail;

  /** @param outer the scope around it, or the process: its writes fold into that one */
  constructor(
    runner: SessionRunner,
    trail: PrimaryTrail,
    outer: SessionScope | undefined,
    options: SessionOptions,
    base: Requirement,
  ) {
    this.#runner = runner;
    this.#trail = trail;
    this.floor = new Floor(outer?.floor, options.inherit === 'none' ? undefined : outer?.floor);
    this.requirement = requirementOf(options, base);
    if (options.token !== undefined) this.observe(options.token);
  }

  read<Row extends QueryResultRow>(query: string | QueryConfig, values?: readonly unknown[], options?: ReadOptions) {
    return this.#runner.read<Row>(this, query, values, options);
  }

  write<Row extends QueryResultRow>(query: string | QueryConfig, values?: readonly unknown[]) {
    return this.#runner.write<Row>(this, query, values);
  }

  token(): Promise<string> {
    return this.#runner.token(this);
  }

  observe(token: string): void {
    claim(this.floor, token, this.#trail);
  }
}

/** Lays a stranger's token on a floor; what is no token is counted and otherwise absent. */
export function claim(floor: Floor, token: string, trail: PrimaryTrail): void {
  const position = decodeToken(token);
  if (position === undefined) trail.refused.malformed++;
  else floor.claim(position, performance.now());
}
