/** Faults in tokens: how they are read and merged, and how a store keeps them. */
import type { Mutation } from './mutation.js';

const UNIT = 'test/unit/token';

export const token: readonly Mutation[] = [
  {
    name: 'of two tokens in a store the one of the earlier timeline stays',
    breaks: 'rule 4',
    file: 'src/token/order.ts',
    find: 'return a.timeline - b.timeline || ',
    replace: 'return ',
    tests: [`${UNIT}/store.test.ts`],
  },
  {
    name: 'a late response lowers what a store keeps',
    breaks: 'rule 7',
    file: 'src/token/merge.ts',
    find: 'before === undefined || compareOrder(piece.order, before.order) >= 0',
    replace: 'true',
    tests: [`${UNIT}/store.test.ts`],
  },
  {
    name: 'the tokens of one cluster take the place of another one’s',
    breaks: 'issue 21.1',
    file: 'src/token/merge.ts',
    find: 'const { isPrimaryOnly, clusterId, issuedAt } = piece.order;',
    replace: "const { isPrimaryOnly, issuedAt } = piece.order;\n    const clusterId = '';",
    tests: [`${UNIT}/several-clusters.test.ts`],
  },
  {
    name: 'a token of the release before is refused',
    breaks: 'issue 21.2',
    file: 'src/token/codec.ts',
    find: 'const PAYLOAD = /^([23])(',
    replace: 'const PAYLOAD = /^([3])(',
    tests: [`${UNIT}/several-clusters.test.ts`],
  },
  {
    name: 'a token never expires',
    breaks: 'rule 7',
    file: 'src/token/codec.ts',
    find: "> this.#lifetimeMillis) return 'expired';",
    replace: "> Number.POSITIVE_INFINITY) return 'expired';",
    tests: [`${UNIT}/codec.test.ts`],
  },
  {
    name: 'any signature is taken for one of the ring',
    breaks: 'rule 7',
    file: 'src/token/codec.ts',
    find: 'bytes.length === expected.length && timingSafeEqual(bytes, expected)',
    replace: 'bytes.length === expected.length',
    tests: [`${UNIT}/codec.test.ts`],
  },
  {
    name: "one user's token is good for another",
    breaks: 'rule 7',
    file: 'src/token/codec.ts',
    find: ".update(subject === undefined ? '' :",
    replace: ".update(subject !== undefined ? '' :",
    tests: [`${UNIT}/codec.test.ts`],
  },
  {
    name: 'only the first secret of the ring is accepted',
    breaks: 'rule 7',
    file: 'src/token/codec.ts',
    find: 'this.#secrets.some(',
    replace: 'this.#secrets.slice(0, 1).some(',
    tests: [`${UNIT}/codec.test.ts`],
  },
  {
    name: 'a response ends before the store has what was written after its headers',
    breaks: 'issue 18.9',
    file: 'src/token/keeper.ts',
    find: 'return this.#next ?? this.#running;',
    replace: 'return undefined;',
    tests: ['test/behaviour/late-writes.test.ts'],
  },
];
