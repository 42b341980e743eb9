/**
 * Prisma gathers what `findUnique` and `$transaction([…])` ask for within one tick, for all callers, and sends it on as whoever asked
 * first: what others asked for would then read and write in that one's session. Here each session gets a tick of its own.
 */
import { Prisma } from '@prisma/client/extension';
import type { Cluster, Session } from '../../../src/index.js';

export function sessionsApart(cluster: Cluster) {
  const turns = new Map<Session | undefined, Promise<void>>();
  const turnOf = (session: Session | undefined): Promise<void> => {
    const turn = new Promise<void>((resolve) => {
      setImmediate(() => {
        turns.delete(session);
        resolve();
      });
    });
    turns.set(session, turn);
    return turn;
  };
  return Prisma.defineExtension({
    name: 'sessions-apart',
    query: {
      async $allOperations({ args, query }) {
        const session = cluster.currentSession();
        await (turns.get(session) ?? turnOf(session));
        return query(args);
      },
    },
  });
}
