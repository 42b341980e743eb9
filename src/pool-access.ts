/** The door to the cluster for `cluster.pool()`: its statements pass the same gate as all others. */
import type { QueryResult } from 'pg';
import { CallingContext } from './async-context.js';
import type { Calls } from './calls.js';
import { performance } from './clock.js';
import { openPrimary } from './execute/primary.js';
import { readUnlessRefused } from './execute/query.js';
import type { StatementRequest } from './execute/request.js';
import { write } from './execute/write.js';
import type { ClusterAccess } from './pool/access.js';

/** @param scope the session of the calling code */
export function poolAccess(calls: Calls, scope: ClusterAccess['scope']): ClusterAccess {
  const { fleet, classifier, context, gate, publisher, requests } = calls;
  return {
    scope,
    watch: context.watch,
    bind: (callback) => {
      const calling = new CallingContext();
      return (...args) => calling.runInAsyncScope(callback, undefined, ...args);
    },
    get primary() {
      return fleet.primary;
    },
    get nodeCount() {
      return fleet.nodes.length;
    },
    pass: () => gate.pass(),
    readRequest: (scope, hint, entry) => requests.read(scope, hint ?? {}, entry, undefined),
    writeRequest: (scope, entry) => requests.write(scope, entry),
    read: (reading, onPrimary) => {
      const { found, query, values, scope, entry, introduce } = reading;
      const statement =
        introduce === undefined ? requests.statement(query, values) : requests.apart(query, values, introduce);
      const run = (request: StatementRequest): Promise<QueryResult> =>
        readUnlessRefused(request, reading, classifier, onPrimary ?? (() => write(request, 'misrouted')));
      return Promise.resolve(calls.place({ scope, statement, options: found.hint, entry, signal: undefined }, run));
    },
    openPrimary: (clientFor) => openPrimary(fleet, clientFor),
    known: (text) => classifier.known(text, performance.now()),
    classify: (text) => classifier.classify(text),
    changed: (text) => classifier.changed(text),
    warn: (warning) => {
      if (publisher.wants('warning')) publisher.publish('warning', warning(), new CallingContext());
    },
    warnOnce: (text, warning) => {
      if (!publisher.wants('warning') || !classifier.isFirst(text)) return;
      publisher.publish('warning', warning(classifier.digest(text)));
    },
  };
}
