/** What the tests of `cluster.listen` share. */
import type { ListenItem, Listening } from '../../../src/index.js';
import type { TestNode } from '../../../src/testing/index.js';
import { ask } from '../../faults/promoted.js';

/** The next item. @throws when there is none any more */
export async function next(listening: Listening): Promise<ListenItem> {
  const { done, value } = await listening.next();
  if (done === true) throw new Error('it has ended');
  return value;
}

/** The next one that is no gap. @returns its payload, and the gaps before it */
export async function nextPayload(listening: Listening): Promise<{ payload: string; gaps: ListenItem[] }> {
  const gaps: ListenItem[] = [];
  for (;;) {
    const item = await next(listening);
    if (item.kind === 'notification') return { payload: item.payload, gaps };
    gaps.push(item);
  }
}

export async function notify(node: TestNode, channel: string, payload: string): Promise<void> {
  const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  await ask(node, `select pg_notify(${literal(channel)}, ${literal(payload)})`);
}

/** The connections that listen, as that server shows them. */
export async function listeningPids(node: TestNode): Promise<number[]> {
  const rows = await ask<{ pid: number }>(
    node,
    "select pid from pg_stat_activity where application_name like '% (listen)' order by pid",
  );
  return rows.map(({ pid }) => pid);
}
