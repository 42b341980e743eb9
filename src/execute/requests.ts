/** Makes a request of what a caller asks: its options, over its session's, over the cluster's. It runs nothing. */

import { invalidOptions } from '../errors.js';
import { Floor } from '../freshness/floor.js';
import { requirementOf } from '../freshness/requirement.js';
import type { ReadOptions } from '../options/calls.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { keyOf } from '../routing/partition.js';
import type { SessionScope } from '../session/session.js';
import type { Values } from './call.js';
import { type Introduce, textOf } from './call.js';
import type { ExecutionContext } from './context.js';
import type { Entry } from './gate.js';
import type { Request, Statement } from './request.js';
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

  /** Of what may read. */
  read(scope: SessionScope, options: ReadOptions | undefined, entry: Entry, signal: AbortSignal | undefined): Request {
    const { requirement, trace } = scope;
    if (options === undefined && requirement.consistency === 'session') {
      return this.#of(scope, NO_OPTIONS, entry, signal, scope.readFloor(), requirement);
    }
    const { atLeast, target } = options ?? NO_OPTIONS;
    this.#checkTarget(target);
    const own = requirementOf(options, requirement);
    let floor = own.consistency === 'eventual' ? this.#noFloor : scope.readFloor();
    if (atLeast !== undefined || own.consistency === 'strong') floor = new Floor(undefined, floor);
    if (atLeast !== undefined && this.#tokens.claim(floor, atLeast, scope.tokenSubject()) !== 'refused')
      trace?.tookToken();
    // All that had been committed when the read began: only an answer of the primary to a later question covers it.
    if (own.consistency === 'strong') floor.wrote(entry.startedAt, 0);
    return this.#of(scope, options ?? NO_OPTIONS, entry, signal, floor, own);
  }

  /** Of what only writes. */
  write(
    scope: SessionScope,
    timeoutMillis: number | undefined,
    entry: Entry,
    signal: AbortSignal | undefined,
  ): Request {
    const options = timeoutMillis === undefined ? NO_OPTIONS : { timeoutMillis };
    return this.#of(scope, options, entry, signal, scope.floor, scope.requirement);
  }

  statement(query: PreparedQuery, values: Values | undefined): Statement {
    const profile = this.#context.eligibility.recordUse(textOf(query));
    return { query, values: values as unknown[] | undefined, profile, introduce: undefined };
  }

  /** One that is neither named nor shares a connection. */
  apart(query: PreparedQuery, values: Values | undefined, introduce?: Introduce): Statement {
    return { query, values: values as unknown[] | undefined, profile: undefined, introduce };
  }

  #of(
    scope: SessionScope,
    { target, partitionKey, priority, timeoutMillis }: ReadOptions,
    { id, startedAt }: Entry,
    signal: AbortSignal | undefined,
    floor: Floor,
    requirement: Request['requirement'],
  ): Request {
    const { fleet } = this.#context;
    return {
      context: this.#context,
      id,
      floor,
      requirement,
      target,
      key: keyOf(partitionKey) ?? scope.key,
      trace: scope.trace,
      asker: scope,
      priority: priority ?? scope.priority,
      startedAt,
      giveUpAt: fleet.heartbeat.awake(startedAt) + (timeoutMillis ?? fleet.settings.primaryWaitMillis),
      signal,
      lostOn: undefined,
      rerunCount: 0,
    };
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
