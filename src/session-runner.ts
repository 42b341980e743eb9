/** The door to the cluster for its sessions: their statements pass the same gate as all others, in their own context. */
import { CallingContext } from './async-context.js';
import type { Calls } from './calls.js';
import type { Contexts } from './contexts.js';
import type { OpenScope } from './live/live-queries.js';
import type { SessionRunner } from './session/runner.js';
import { SessionScope } from './session/scope.js';
import { clusterInToken } from './token/order.js';

export function sessionRunner(calls: Calls, contexts: Contexts): SessionRunner<SessionScope> {
  const { tokens, settings, publisher, fleet } = calls;
  const { history } = fleet;
  const warned = new Set<string>();
  return {
    read: (scope, query, values, options) => calls.read(contexts.of(scope), query, values, options),
    write: (scope, query, values, options) => calls.write(contexts.of(scope), query, values, options),
    query: (scope, text, values, options) => calls.query(contexts.of(scope), text, values, options),
    transaction: (scope, fn, options) => calls.transaction(contexts.of(scope), fn, options),
    token: (scope) => tokens.token(scope),
    claim: (floor, token, subject) => tokens.claim(floor, token, subject),
    reader: {
      judge: (token, subject, isAsked, at) => tokens.judge(token, subject, isAsked, at),
      refuse: (why) => history.refused.count(why),
    },
    carrier: {
      name: settings.identity.name,
      clusterId: () => (history.clusterId === undefined ? undefined : clusterInToken(history.clusterId)),
      isSigned: settings.secrets.length > 0,
      hasTokens: () => history.isTracking,
      tokenLifetimeMillis: settings.tokenLifetimeMillis,
      isToken: (text): text is string => tokens.isToken(text),
      countMalformed: (count) => {
        for (let i = 0; i < count; i++) history.refused.count('malformed');
      },
      primaryOnlyToken: (subject) => tokens.primaryOnlyToken(subject),
      warn: (warning) => {
        if (publisher.wants('warning')) publisher.publish('warning', warning(), new CallingContext());
      },
      warnOnce: (warning) => {
        const { code, message } = warning;
        if (!publisher.wants('warning') || warned.has(`${code}: ${message}`)) return;
        warned.add(`${code}: ${message}`);
        publisher.publish('warning', warning, new CallingContext());
      },
      subjectOf: (text) => calls.subjects.of(text),
    },
    within: (scope, fn) => {
      const { current } = contexts;
      if (current?.scope === scope) return fn();
      return contexts.within({ scope, transaction: undefined }, fn);
    },
    tracesReads: () => history.isTracking,
    monotonic: settings.cache?.monotonic,
    notesReads: settings.cache !== undefined,
  };
}

/** Sessions of live queries: what one of them reads belongs to no user. @param process that outside of sessions */
export function liveScopes(runner: SessionRunner<SessionScope>, process: SessionScope): OpenScope {
  const base = { consistency: 'session', maxStalenessMillis: undefined } as const;
  return (start) => {
    const options = { inherit: start === undefined ? 'none' : 'process', freshness: false } as const;
    return new SessionScope(runner, start ?? process, options, base);
  };
}
