/**
 * Part of each small app that uses the packed library. It opens a cluster, and tells where a read of each kind went and
 * what was warned of: the grammar has worked where a replica answered.
 */
const TEXT = "select count(*)::int as n from pg_catalog.pg_class where relname = 'pg_class'";
const GIVE_UP_MILLIS = 20_000;

module.exports = async function routed({ createCluster }) {
  const { PRIMARY_URL: primary, REPLICA_URL: connectionString } = process.env;
  const cluster = createCluster({ primary, replicas: [{ name: 'r1', connectionString }] });
  const warnings = [];
  let node;
  cluster.events.on('warning', ({ code, message }) => warnings.push(`${code}: ${message}`));
  cluster.events.on('route', (event) => {
    node = event.node;
  });
  const giveUpAt = Date.now() + GIVE_UP_MILLIS;
  const isReady = async () =>
    cluster.stats().nodes.every(({ state }) => state === 'live') && (await cluster.explain(TEXT)).class === 'read';
  while (!(await isReady()) && Date.now() < giveUpAt) await new Promise((resolve) => setTimeout(resolve, 20));

  const { class: found, because } = await cluster.explain(TEXT);
  const { rows } = await cluster.query(TEXT);
  const query = node;
  const streamed = [];
  for await (const row of cluster.stream(TEXT)) streamed.push(row);
  const stream = node;
  const pool = cluster.pool();
  const pooled = await pool.query(TEXT);
  const poolQuery = node;
  const client = await pool.connect();
  const onClient = await client.query(TEXT);
  client.release();
  const poolClient = node;
  await cluster.close();
  const counts = [rows, streamed, pooled.rows, onClient.rows].map(([row]) => row.n);
  return { class: found, because, query, stream, poolQuery, poolClient, counts, warnings };
};
