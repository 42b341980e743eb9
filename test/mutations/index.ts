/** All faults that `npm run mutate` plants. */
import { auto } from './auto.js';
import { cache } from './cache.js';
import { changes } from './changes.js';
import { execute } from './execute.js';
import { freshness } from './freshness.js';
import { isolation } from './isolation.js';
import { listen } from './listen.js';
import { live } from './live.js';
import type { Mutation } from './mutation.js';
import { nodes } from './nodes.js';
import { pool } from './pool.js';
import { postgres } from './postgres.js';
import { sql } from './sql.js';
import { token } from './token.js';

export const mutations: readonly Mutation[] = [
  ...freshness,
  ...token,
  ...nodes,
  ...execute,
  ...isolation,
  ...pool,
  ...postgres,
  ...sql,
  ...cache,
  ...auto,
  ...changes,
  ...live,
  ...listen,
];
