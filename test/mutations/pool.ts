/** Faults in what stands in the place of pg's pool: where its statements run, and what tells it from pg's. */
import type { Mutation } from './mutation.js';

const UNIT = 'test/unit/pool';

export const pool: readonly Mutation[] = [
  {
    name: 'a frozen query object ends the process',
    breaks: 'issue 18.3',
    file: 'src/postgres/prepared-query.ts',
    find: 'const plain: Record<string, unknown> = { ...query };',
    replace: 'const plain = query as unknown as Record<string, unknown>;',
    tests: ['test/behaviour/query-objects/shapes.test.ts'],
  },
  {
    name: 'what a class has on its prototype is not seen',
    breaks: 'issue 18.7',
    file: 'src/postgres/prepared-query.ts',
    find: 'if (value !== undefined) plain[key] = value;',
    replace: '',
    tests: ['test/behaviour/query-objects/shapes.test.ts'],
  },
  {
    name: 'whoever instruments the pool keeps its reads from sharing connections',
    breaks: 'issue 18.7',
    file: 'src/pool/pool.ts',
    find: "if (event === 'connect' && this.#isInPgPool) this.#instruments.add(listener);",
    replace: '',
    tests: ['test/behaviour/instrumented.test.ts'],
  },
  {
    name: "a transaction over the pool's query is not on one connection, as with pg it mostly is",
    breaks: 'issue 18.13',
    file: 'src/pool/pool.ts',
    find: '(client as unknown as RoutedClient | undefined)?.servesOneQuery();',
    replace: '',
    tests: ['test/behaviour/pool-transactions.test.ts', 'test/behaviour/pool-contract/differences.test.ts'],
  },
  {
    name: 'a setting that reads do not go by binds a client to the primary',
    breaks: 'issue 18.12',
    file: 'src/pool/decide.ts',
    find: "isNeutral(found.effects) && !isBound ? 'aside' : 'primary'",
    replace: "'primary' as Course",
    tests: [`${UNIT}/decide.test.ts`],
  },
  {
    name: 'a read-only transaction of a client runs on the primary',
    breaks: 'rule 21',
    file: 'src/pool/decide.ts',
    find: "found.begins === 'read-only' || ",
    replace: '',
    tests: [`${UNIT}/decide.test.ts`],
  },
  {
    name: 'a statement that belongs to its connection runs on whichever is free',
    breaks: 'rule 27',
    file: 'src/pool/decide.ts',
    find: "(found.class === 'read' && !found.isAttached)",
    replace: "found.class === 'read'",
    tests: [`${UNIT}/decide.test.ts`],
  },
  {
    name: 'statements of one client overtake each other',
    breaks: 'issue 18.13',
    file: 'src/pool/turns.ts',
    find: 'if (!this.#isBusy) {',
    replace: 'if (!this.#isBusy || turn !== undefined) {',
    tests: [`${UNIT}/clients.test.ts`],
  },
  {
    name: 'the pool does not bear the name that tools look for',
    breaks: 'issue 19.4',
    file: 'src/pool/pool.ts',
    find: 'callAs(RoutingPool, pg.Pool.name);',
    replace: '',
    tests: ['test/behaviour/pool-contract/the-pool-itself.test.ts'],
  },
];
