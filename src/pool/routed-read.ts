/** A read of a pool on whichever server is fresh. */

import type { QueryResult } from 'pg';
import { performance } from '../clock.js';
import { readUnlessRefused } from '../execute/query.js';
import { write } from '../execute/write.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import type { SessionScope } from '../session/session.js';
import type { Classification } from '../statements/classifier.js';
import type { ClientHost } from './access.js';

export interface RoutedRead {
  readonly text: string;
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  readonly scope: SessionScope;
  readonly found: Classification;
}

/** @param onOwn runs what was found to be a read, and what a replica refuses all the same, where it shall belong; default: on a connection of the cluster's */
export function routedRead(
  { cluster, introduce, intent }: ClientHost,
  { text, query, values, scope, found }: RoutedRead,
  onOwn?: () => Promise<QueryResult>,
): Promise<QueryResult> {
  const startedAt = performance.now();
  const need = cluster.need(scope, found.hint, startedAt);
  const statement = cluster.statement(query, values, introduce);
  const { isSingle } = found;
  const onPrimary =
    onOwn ?? (() => write(cluster.context.fleet, statement, scope.floor, startedAt, need.giveUpAt, 'misrouted'));
  return readUnlessRefused(
    cluster.context,
    cluster.classifier,
    { text, statement, isSingle, isVouched: intent === 'read', need, startedAt },
    onPrimary,
  );
}
