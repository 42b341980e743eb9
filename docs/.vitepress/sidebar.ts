/**
 * Every page of the site and where it stands. test/docs/site.test.ts fails for a page that is not
 * listed here, and for an entry without a page.
 */
export interface Entry {
  readonly text: string;
  /** The page, from docs/, without `.md`. */
  readonly page?: string;
  readonly items?: readonly Entry[];
}

export const sections: readonly Entry[] = [
  {
    text: 'Start',
    items: [
      { text: 'Quick start', page: 'start/quick-start' },
      { text: 'A web app, step by step', page: 'start/web-app' },
      { text: 'The demo', page: 'start/demo' },
    ],
  },
  {
    text: 'Web frameworks',
    items: [
      { text: 'Express', page: 'guide/express' },
      { text: 'Fastify', page: 'guide/fastify' },
      { text: 'Any Node server', page: 'guide/plain-http' },
      { text: 'Next.js', page: 'guide/nextjs' },
      { text: 'Between services', page: 'guide/services' },
      { text: 'Jobs and queues', page: 'guide/jobs' },
      { text: 'Serverless', page: 'guide/serverless' },
      { text: 'Several clusters', page: 'guide/several-clusters' },
      { text: 'Behind a CDN', page: 'guide/edge-caching' },
    ],
  },
  {
    text: 'ORMs and query builders',
    items: [
      { text: 'Kysely', page: 'guide/kysely' },
      { text: 'Drizzle', page: 'guide/drizzle' },
      { text: 'Prisma', page: 'guide/prisma' },
      { text: 'Knex', page: 'guide/knex' },
      { text: 'TypeORM', page: 'guide/typeorm' },
      { text: 'MikroORM', page: 'guide/mikro-orm' },
      { text: 'Other tools', page: 'guide/other-tools' },
    ],
  },
  {
    text: 'SQL and connections',
    items: [
      { text: 'Transactions', page: 'guide/transactions' },
      { text: 'Raw connections', page: 'guide/connections' },
      { text: 'LISTEN and NOTIFY', page: 'guide/listen-notify' },
      { text: 'Caching', page: 'guide/caching' },
      { text: 'What should I cache?', page: 'guide/what-to-cache' },
      { text: 'Change stream', page: 'guide/change-stream' },
      { text: 'Live queries', page: 'guide/live-queries' },
      { text: 'Partition by key', page: 'guide/partition-by-key' },
      { text: 'Testing', page: 'guide/testing' },
      { text: 'Bundlers', page: 'guide/bundlers' },
    ],
  },
  {
    text: 'In production',
    items: [
      { text: 'Checklist', page: 'guide/production-checklist' },
      { text: 'Security', page: 'guide/security' },
      { text: 'Kubernetes', page: 'guide/kubernetes' },
      { text: 'Shutting down', page: 'guide/shutting-down' },
      { text: 'A server that lies', page: 'guide/lying-server' },
      {
        text: 'Finding servers',
        page: 'guide/discovery/index',
        items: [
          { text: 'DNS', page: 'guide/discovery/dns' },
          { text: 'Patroni', page: 'guide/discovery/patroni' },
          { text: 'Consul', page: 'guide/discovery/consul' },
          { text: 'Aurora', page: 'guide/discovery/aurora' },
          { text: 'pg_stat_replication', page: 'guide/discovery/pg-stat-replication' },
          { text: 'A source of your own', page: 'guide/discovery/own-source' },
        ],
      },
      {
        text: 'Poolers and proxies',
        page: 'guide/poolers/index',
        items: [
          { text: 'PgBouncer', page: 'guide/poolers/pgbouncer' },
          { text: 'HAProxy', page: 'guide/poolers/haproxy' },
          { text: 'Pgpool-II', page: 'guide/poolers/pgpool' },
          { text: 'RDS Proxy', page: 'guide/poolers/rds-proxy' },
          { text: 'Supavisor', page: 'guide/poolers/supavisor' },
        ],
      },
      {
        text: 'Managed services',
        page: 'guide/managed/index',
        items: [
          { text: 'Amazon RDS', page: 'guide/managed/rds' },
          { text: 'Amazon Aurora', page: 'guide/managed/aurora' },
          { text: 'Cloud SQL', page: 'guide/managed/cloud-sql' },
          { text: 'AlloyDB', page: 'guide/managed/alloydb' },
          { text: 'Azure', page: 'guide/managed/azure' },
          { text: 'Neon', page: 'guide/managed/neon' },
          { text: 'Supabase', page: 'guide/managed/supabase' },
          { text: 'Crunchy Bridge', page: 'guide/managed/crunchy-bridge' },
        ],
      },
    ],
  },
  {
    text: 'Moving to pg-ladder',
    items: [
      { text: 'Overview', page: 'migrate/index' },
      { text: 'From pg.Pool', page: 'migrate/from-pg-pool' },
      { text: 'From TypeORM replication', page: 'migrate/from-typeorm' },
      { text: 'From Drizzle withReplicas', page: 'migrate/from-drizzle' },
      { text: 'From Prisma read replicas', page: 'migrate/from-prisma' },
      { text: 'From kysely-replication', page: 'migrate/from-kysely-replication' },
      { text: 'From Sequelize', page: 'migrate/from-sequelize' },
      { text: 'From sticky windows', page: 'migrate/from-sticky-windows' },
      { text: 'From a proxy', page: 'migrate/from-proxies' },
    ],
  },
  {
    text: 'Concepts',
    items: [
      { text: 'How it works', page: 'concepts/how-it-works' },
      { text: 'Guarantees', page: 'concepts/guarantees' },
      { text: 'Consistency levels', page: 'concepts/consistency-levels' },
      { text: 'Failover', page: 'concepts/failover' },
      { text: 'Balancing', page: 'concepts/balancing' },
      { text: 'Classification', page: 'concepts/classification' },
      { text: 'Lanes', page: 'concepts/lanes' },
      { text: 'Compared', page: 'concepts/compared' },
      { text: 'Threat model', page: 'threat-model' },
      { text: 'Glossary', page: 'concepts/glossary' },
    ],
  },
  {
    text: 'Reference',
    items: [
      { text: 'Options', page: 'reference/options' },
      { text: 'Calls', page: 'reference/calls' },
      { text: 'Sessions', page: 'reference/session' },
      { text: 'Transactions', page: 'reference/transaction' },
      { text: 'Pool', page: 'reference/pool' },
      { text: 'HTTP', page: 'reference/http' },
      { text: 'Discovery', page: 'reference/discovery' },
      { text: 'Testing', page: 'reference/testing' },
      { text: 'Command line', page: 'reference/cli' },
      { text: 'Hints', page: 'reference/hints' },
      { text: 'Routes', page: 'reference/route' },
      { text: 'Reasons', page: 'reference/reasons' },
      { text: 'Errors', page: 'reference/errors' },
      { text: 'Events', page: 'reference/events' },
      { text: 'Warnings', page: 'reference/warnings' },
      { text: 'Statistics', page: 'reference/stats' },
      { text: 'Tokens', page: 'reference/tokens' },
      { text: 'Hashing', page: 'reference/hashing' },
      { text: 'Compatibility', page: 'reference/compatibility' },
      { text: 'API', page: 'reference/api/index' },
    ],
  },
  {
    text: 'Help',
    items: [
      { text: 'Troubleshooting', page: 'troubleshooting' },
      { text: 'Questions', page: 'faq' },
      { text: 'Performance', page: 'performance' },
      { text: 'Changelog', page: 'changelog' },
      { text: 'Contributing', page: 'contributing' },
    ],
  },
];

/** All pages that are listed. */
export function listedPages(entries: readonly Entry[] = sections): string[] {
  return entries.flatMap(({ page, items = [] }) => [...(page === undefined ? [] : [page]), ...listedPages(items)]);
}
