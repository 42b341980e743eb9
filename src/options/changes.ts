/** The option `changes`: where changes are heard, checked once. */
import { z } from 'zod';
import type { ChangeRelay } from '../change-relay.js';
import type { ChangeSource } from '../change-source.js';
import { optionsOf } from './check.js';

/** Where changes of tables are heard, so that answers that are kept stay current. */
export interface ChangesOptions {
  /**
   * The tables that are listened to, such as `products` or `shop.products`. Default: all that the
   * source tells of. What depends on another table only grows old.
   */
  tables?: readonly string[] | undefined;
  /**
   * Who tells of changes:
   * - `primary` (default): the primary's log, by logical decoding. See `pg-ladder changes install`.
   * - `{ node }`: the same, read from that replica, with PostgreSQL 16 and later.
   * - `notify`: triggers, for servers without `wal_level = logical`. They make commits wait for each
   *   other. See `pg-ladder changes install --notify`.
   * - a source of your own.
   */
  source?: 'primary' | 'notify' | { node: string } | ChangeSource | undefined;
  /**
   * Through which processes share what one of them hears, such as `redisRelay` of `pg-ladder/redis`:
   * then one reads the log, and the others need no slot. Default: each hears for itself. It goes
   * with the log alone.
   */
  relay?: ChangeRelay | undefined;
  /** The publication that names the tables, for the log. Default `pg_ladder`. */
  publication?: string | undefined;
  /** How many changed rows are remembered of each table, 0 to 1,000,000. Default 10,000. */
  keysPerTable?: number | undefined;
}

export interface ChangesSettings {
  /** `undefined`: all that the source tells of. */
  readonly tables: readonly string[] | undefined;
  readonly source: 'primary' | 'notify' | { readonly node: string } | ChangeSource;
  readonly publication: string;
  readonly relay: ChangeRelay | undefined;
  readonly keysPerTable: number;
}

const isSource = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as Partial<ChangeSource>).subscribe === 'function';

const isRelay = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as Partial<ChangeRelay>).publish === 'function';

const source = z.union(
  [
    z.enum(['primary', 'notify']),
    z.custom<ChangeSource>(isSource, 'expected a source'),
    optionsOf({ node: z.string().min(1).max(255) }),
  ],
  "expected 'primary', 'notify', { node } or a source with subscribe()",
);

const options = optionsOf({
  tables: z.array(z.string().min(1).max(1_024)).min(1).max(10_000).optional(),
  source: source.default('primary'),
  relay: z.custom<ChangeRelay>(isRelay, 'expected a relay, such as redisRelay(client)').optional(),
  publication: z.string().min(1).max(63).default('pg_ladder'),
  keysPerTable: z.int().min(0).max(1_000_000).default(10_000),
}).check(({ value, issues }) => {
  const isLog = value.source === 'primary' || (typeof value.source === 'object' && 'node' in value.source);
  if (value.relay === undefined || isLog) return;
  issues.push({
    code: 'custom',
    path: ['relay'],
    message: 'expected a source that reads the log beside it',
    input: value,
  });
});

/** What the cluster takes. */
export const changesOfCluster = z
  .union([z.literal('notify'), options], "expected 'notify' or { tables, source, publication, … }")
  .optional();

/** `undefined`: changes are not heard. */
export function changesSettings(given: z.infer<typeof changesOfCluster>): ChangesSettings | undefined {
  if (given === undefined) return undefined;
  const { tables, relay, ...rest } = given === 'notify' ? options.parse({ source: 'notify' }) : given;
  return Object.freeze({ ...rest, tables, relay });
}
