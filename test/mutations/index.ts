/** All faults that `npm run mutate` plants. */
import { freshness } from './freshness.js';
import type { Mutation } from './mutation.js';
import { nodes } from './nodes.js';
import { postgres } from './postgres.js';
import { sql } from './sql.js';
import { token } from './token.js';

export const mutations: readonly Mutation[] = [...freshness, ...token, ...nodes, ...postgres, ...sql];
