/** What users of other tools ask, and the pages of which one must be among the first three results of the search. */
export const questions: readonly { readonly ask: string; readonly pages: readonly string[] }[] = [
  {
    ask: 'read your own writes',
    pages: ['concepts/guarantees', 'concepts/how-it-works', 'concepts/consistency-levels'],
  },
  {
    ask: 'replica lag stale read',
    pages: ['troubleshooting', 'start/web-app', 'concepts/how-it-works', 'guide/testing', 'faq'],
  },
  { ask: 'pgbouncer transaction mode prepared statement', pages: ['guide/poolers/pgbouncer'] },
  { ask: 'failover primary changed', pages: ['concepts/failover'] },
  { ask: 'kysely replica', pages: ['guide/kysely', 'migrate/from-kysely-replication'] },
  { ask: 'typeorm replication stale', pages: ['migrate/from-typeorm', 'guide/typeorm'] },
  { ask: 'prisma read replicas transaction', pages: ['migrate/from-prisma', 'guide/prisma'] },
  { ask: 'session cookie', pages: ['reference/http', 'guide/express', 'reference/tokens'] },
  {
    ask: 'redis',
    pages: ['guide/caching', 'reference/http', 'guide/plain-http', 'guide/services', 'guide/jobs', 'guide/express'],
  },
  { ask: 'invalidate cache when table changes', pages: ['guide/change-stream', 'guide/caching'] },
  { ask: 'logical replication slot wal_level', pages: ['guide/change-stream'] },
  { ask: 'debezium wal2json', pages: ['guide/change-stream'] },
  { ask: 'LISTEN NOTIFY failover', pages: ['guide/listen-notify'] },
  { ask: '25006 read-only transaction', pages: ['troubleshooting', 'reference/errors'] },
  { ask: 'strong consistency', pages: ['concepts/consistency-levels', 'concepts/guarantees'] },
  { ask: 'how to force primary', pages: ['reference/hints', 'reference/calls', 'faq', 'troubleshooting'] },
  {
    ask: 'connection limit',
    pages: [
      'guide/production-checklist',
      'guide/connections',
      'guide/serverless',
      'faq',
      'troubleshooting',
      'guide/poolers/index',
    ],
  },
  { ask: 'serverless', pages: ['guide/serverless'] },
  {
    ask: 'advisory lock',
    pages: ['guide/connections', 'concepts/classification', 'guide/transactions', 'troubleshooting', 'faq'],
  },
  {
    ask: 'max staleness',
    pages: ['concepts/consistency-levels', 'concepts/guarantees', 'reference/options', 'reference/calls'],
  },
  { ask: 'aurora', pages: ['guide/managed/aurora', 'guide/discovery/aurora'] },
  { ask: 'patroni', pages: ['guide/discovery/patroni'] },
  {
    ask: 'migrations ddl',
    pages: ['faq', 'guide/production-checklist', 'concepts/classification', 'troubleshooting', 'guide/other-tools'],
  },
];
