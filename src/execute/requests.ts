/** Makes a request of what a caller asks: its options, over its session's, over the cluster's. It runs nothing. */
import { invalidOptions } from '../errors.js';
import { Floor } from '../freshness/floor.js';
import { type Requirement, requirementOf } from '../freshness/requirement.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { ReadOptions } from '../options/calls.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { keyOf } from '../routing/partition.js';
import type { SessionScope } from '../session/scope.js';
import { type Introduce, textOf, type Values } from './call.js';
import type { ExecutionContext } from './context.js';
import type { Entry } from './gate.js';
import { type Asked, type Origin, Request, type Scope, type Statement, StatementRequest } from './request.js';
import type { SessionTokens } from './session-tokens.js';

const NO_OPTIONS: ReadOptions = {};

export class Requests {
  readonly #context: ExecutionContext;
  readonly #tokens: SessionTokens;
  readonly #noFloor = new Floor();

  constructor(context: ExecutionContext, tokens: SessionTokens) {
    this.#context = context;
    this.#tokens = tokens;
  }

  /** Of what may read, and is more than a statement. */
  read(scope: SessionScope, options: ReadOptions, entry: Entry, signal: AbortSignal | undefined): Request {
    const requirement = requirementOf(options, scope.requirement);
    const floor = this.#floorOf(scope, options, requirement, entry);
    return new Request(this.#origin(scope, entry, signal), options, floor, requirement);
  }

  /** Of a statement that may read. */
  readStatement(
    scope: SessionScope,
    options: ReadOptions | undefined,
    entry: Entry,
    signal: AbortSignal | undefined,
    statement: Statement,
  ): StatementRequest {
    const { requirement } = scope;
    const origin = this.#origin(scope, entry, signal);
    if (options === undefined && requirement.consistency === 'session')
      return new StatementRequest(origin, NO_OPTIONS, scope.readFloor(), requirement, statement);
    const asked = options ?? NO_OPTIONS;
    const own = requirementOf(asked, requirement);
    return new StatementRequest(origin, asked, this.#floorOf(scope, asked, own, entry), own, statement);
  }

  /** What a read asks of whatever answers it. */
  terms(scope: SessionScope, options: ReadOptions | undefined, entry: Entry): ReadTerms {
    const asked = options ?? NO_OPTIONS;
    const requirement = requirementOf(asked, scope.requirement);
    return {
      floor: this.#floorOf(scope, asked, requirement, entry),
      requirement,
      target: asked.target,
      key: keyOf(asked.partitionKey) ?? scope.key,
      trace: scope.trace,
    };
  }

  /** Of a statement that reads, on terms that are known. @param scope its session, or what stands in its place */
  onTerms(
    { floor, requirement }: ReadTerms,
    scope: Scope,
    asked: Asked,
    entry: Entry,
    signal: AbortSignal | undefined,
    statement: Statement,
  ): StatementRequest {
    return new StatementRequest({ context: this.#context, entry, scope, signal }, asked, floor, requirement, statement);
  }

  /** Of what only writes. */
  write(scope: SessionScope, entry: Entry): Request {
    return new Request(this.#origin(scope, entry, undefined), NO_OPTIONS, scope.floor, scope.requirement);
  }

  /** Of a statement that only writes. */
  writeStatement(
    scope: SessionScope,
    timeoutMillis: number | undefined,
    entry: Entry,
    signal: AbortSignal | undefined,
    statement: Statement,
  ): StatementRequest {
    const asked = timeoutMillis === undefined ? NO_OPTIONS : { timeoutMillis };
    const origin = this.#origin(scope, entry, signal);
    return new StatementRequest(origin, asked, scope.floor, scope.requirement, statement);
  }

  statement(query: PreparedQuery, values: Values | undefined): Statement {
    const profile = this.#context.eligibility.recordUse(textOf(query));
    return { query, values: values as unknown[] | undefined, profile, introduce: undefined, tables: undefined };
  }

  /** One that is neither named nor shares a connection. */
  apart(query: PreparedQuery, values: Values | undefined, introduce?: Introduce): Statement {
    return { query, values: values as unknown[] | undefined, profile: undefined, introduce, tables: undefined };
  }

  #origin(scope: SessionScope, entry: Entry, signal: AbortSignal | undefined): Origin {
    return { context: this.#context, entry, scope, signal };
  }

  /** What the answer must show. */
  #floorOf(
    scope: SessionScope,
    { atLeast, target }: ReadOptions,
    { consistency }: Requirement,
    { startedAt }: Entry,
  ): Floor {
    this.#checkTarget(target);
    let floor = consistency === 'eventual' ? this.#noFloor : scope.readFloor();
    if (atLeast !== undefined || consistency === 'strong') floor = new Floor(undefined, floor);
    if (atLeast !== undefined && this.#tokens.claim(floor, atLeast, scope.tokenSubject()) !== 'refused')
      scope.trace?.tookToken();
    // All that had been committed when the read began: only an answer of the primary to a later question covers it.
    if (consistency === 'strong') floor.wrote(startedAt, 0);
    return floor;
  }

  #checkTarget(target: ReadOptions['target']): void {
    if (typeof target !== 'object') return;
    const { nodes, settings } = this.#context.fleet;
    const names = nodes.map((node) => node.name);
    // Where servers come and go a name may be gone, and is no mistake then.
    if (names.includes(target.node) || settings.discovery !== undefined) return;
    // What is no name may be an address, with its password.
    const got = /^[^\s/@]{1,64}$/.test(target.node) ? `"${target.node}"` : 'text that is no name';
    throw invalidOptions(`read: target.node: expected one of ${names.join(', ')}, got ${got}`);
  }
}
