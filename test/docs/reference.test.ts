/** Each option, reason, event, code and field of the library has its row in the reference, and no row is without one. */
import { describe, expect, it } from 'vitest';
import { exists, tablesOf } from './pages.js';
import { type Asked, missingAndUnknown, rowsOf } from './rows.js';
import {
  eventNames,
  fieldsOf,
  hintWords,
  literalsOf,
  optionsOfFunction,
  reasons,
  switchesOfCommands,
} from './surface.js';

const one = (names: readonly string[]): Asked => ({ required: names, allowed: [] });

/** What each page must list: `required` once, `allowed` if it likes. */
const pages: Record<string, () => Asked> = {
  options: () =>
    fieldsOf('index', {
      required: [
        'ClusterBehaviour',
        'FreshnessOptions',
        'LabelledNodes',
        'UnlabelledNodes',
        'NodeLabels',
        'LaneOptions',
        'HotKeyOptions',
        'RetryBudgetOptions',
        'CacheOptions',
        'CacheRule',
        'ChangesOptions',
        'redis:RedisCacheOptions',
      ],
    }),
  calls: () =>
    fieldsOf('index', {
      required: [
        'FreshnessOptions',
        'AbortOptions',
        'ReadOptions',
        'StreamOptions',
        'CacheReadOptions',
        'WatchOptions',
        'ListenOptions',
      ],
      allowed: [
        'WriteOptions',
        'ConnectionOptions',
        'ReadyOptions',
        'CloseOptions',
        'Explanation',
        'ReplicaVerdict',
        'TransactionOptions',
        'Watch',
        'WatchedState',
        'RowChanges',
        'Listening',
        'HeardNotification',
        'ListenGap',
      ],
    }),
  session: () => fieldsOf('index', { required: ['SessionOptions'], allowed: ['Session', 'JointSession', 'Freshness'] }),
  transaction: () => fieldsOf('index', { required: ['TransactionOptions'], allowed: ['ReadOptions'] }),
  pool: () => fieldsOf('index', { required: ['PoolOptions'] }),
  http: () => {
    const { required, allowed } = fieldsOf('http', {
      required: [
        'HttpSessionOptions',
        'CookieOptions',
        'CacheControlOptions',
        'ServiceOptions',
        'ServerSentEventsOptions',
        'redis:RedisTokenStoreOptions',
      ],
      allowed: ['fastify:SessionPluginOptions', 'TokenStore', 'EventStart', 'SentState'],
    });
    return { required: [...required, ...optionsOfFunction('http', 'memoryTokenStore')], allowed };
  },
  discovery: () =>
    fieldsOf('discovery', {
      required: ['DnsDiscoveryOptions', 'PatroniDiscoveryOptions', 'ReplicationDiscoveryOptions'],
      allowed: [
        'DiscoveryContext',
        'NodeAnswer',
        'WalReceiver',
        'index:ClusterBehaviour',
        'index:DiscoveryStats',
        'index:NodeLabels',
      ],
    }),
  testing: () => {
    const { required, allowed } = fieldsOf('testing', {
      required: ['TestClusterOptions', 'JitterOptions', 'ChangeSourceCheck'],
      allowed: ['TestCluster', 'TestNode', 'Link', 'ReplayJitter', 'JitterStep'],
    });
    return { required: [...required, ...literalsOf('testing', 'TestBackendErrorCode')], allowed };
  },
  route: () =>
    fieldsOf('index', {
      required: [
        'Route',
        'Explanation',
        'ReplicaVerdict',
        'ExplainedDependencies',
        'CacheVerdict',
        'ExplainedEntry',
        'LiveVerdict',
      ],
    }),
  stats: () =>
    fieldsOf('index', {
      required: [
        'ClusterStats',
        'NodeStats',
        'RefusedPositions',
        'FallbackStats',
        'DiscoveryStats',
        'CacheStats',
        'CacheAdvice',
        'StatementAdvice',
        'ChangeStats',
      ],
    }),
  events: () => {
    const { allowed } = fieldsOf('index', {
      required: [],
      allowed: [
        'RouteEvent',
        'QueryEvent',
        'NodeEvent',
        'TopologyEvent',
        'MembershipEvent',
        'TokenLostEvent',
        'ChangesEvent',
        'WarningEvent',
      ],
    });
    return { required: [...eventNames(), ...allowed], allowed: [] };
  },
  reasons: () => one(reasons()),
  errors: () => one(literalsOf('index', 'LadderErrorCode')),
  warnings: () => one(literalsOf('index', 'WarningEvent', 'code')),
  hints: () => one(hintWords()),
  cli: () => one(switchesOfCommands()),
};

describe('the reference', () => {
  it.each(Object.keys(pages))('has one row for each thing of %s, and none without one', (page) => {
    const file = `docs/reference/${page}.md`;
    expect(exists(file), `${file} is missing`).toBe(true);
    const asked = pages[page]!();
    expect(asked.required.length).toBeGreaterThan(0);
    expect(missingAndUnknown(asked, rowsOf(tablesOf(file)))).toEqual([]);
  });

  it('would be told of a row that is missing, unknown or there twice', () => {
    const source = '| option | meaning |\n| --- | --- |\n| `a` | … |\n| `lane.b` | … |\n| `b` | … |\n| `x` | … |\n';
    const rows = rowsOf(tablesOf('sample.md', source));
    expect(missingAndUnknown({ required: ['a', 'b', 'c'], allowed: [] }, rows)).toEqual([
      'line 5: `b` has 2 rows, and 1 thing has that name',
      'line 6: `x` is nothing that the code has',
      '`c` has no row',
    ]);
  });
});
