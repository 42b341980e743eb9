/**
 * Part of each small app of the matrix. It sends statements every way that there is, and tells which server answered
 * each, and what was wrong with an answer.
 */

const COLUMNS = 'v, $1::int as n, $2::text as t, $3::bytea as b, $4::text as nothing';
const TEXT = `select ${COLUMNS} from t where id = 1`;
/** For transactions, whose server is chosen by then: it says itself which it is. */
const TELLING = `select ${COLUMNS}, case when pg_is_in_recovery() then 'r1' else 'primary' end as server from t where id = 1`;
const FAILING = 'select 1 / (v - v) from t where id = 1';
const VALUES = [7, `it's /* no comment */ -- é`, Buffer.from([0, 255, 39]), null];
const GIVE_UP_MILLIS = 20_000;

/**
 * @param around runs each way, named: in a span, say
 * @param shares whether reads are to share connections in the end
 * @param here names what it runs in, by the context that a callback finds
 */
module.exports = async function everyWay(
  ladder,
  { options, around = (_, run) => run(), here, shares = options.lane !== false },
) {
  const cluster = ladder.createCluster(options);
  const wrong = [];
  const warnings = [];
  const servers = {};
  let routedTo;
  cluster.events.on('route', ({ node }) => {
    routedTo = node;
  });
  cluster.events.on('warning', ({ code, message }) => warnings.push(`${code}: ${message}`));
  await cluster.write('drop table if exists t');
  await cluster.write('create table t (id int primary key, v int not null)');
  await cluster.write('insert into t values (1, 0)');

  const { pool, ways, failing } = waysOf(cluster, (way) => {
    if (here !== undefined && here() !== way) wrong.push(`${way}: its callback ran in ${here()}`);
  });
  let v = 0;
  for (const [way, { run, server, writes = false }] of Object.entries(ways)) {
    await around(way, () =>
      cluster.session(async () => {
        await cluster.write('update t set v = v + 1');
        v++;
        const giveUpAt = Date.now() + GIVE_UP_MILLIS;
        do {
          const rows = await run(way);
          if (writes) v++;
          wrong.push(...faultsOf(rows, v).map((fault) => `${way}: ${fault}`));
          servers[way] = rows[0]?.server ?? routedTo;
        } while (servers[way] !== server && Date.now() < giveUpAt);
      }),
    );
  }
  for (const [way, run] of Object.entries(failing)) {
    const code = await around(way, () =>
      run().then(
        () => 'no error',
        (error) => error.code,
      ),
    );
    if (code !== '22012') wrong.push(`${way}: its error was ${code}`);
  }
  const shared = () => cluster.stats().nodes.reduce((sum, { lane }) => sum + (lane?.statementCount ?? 0), 0);
  const giveUpAt = Date.now() + GIVE_UP_MILLIS;
  // A lane is warm after some reads.
  while (shares && shared() < 50 && Date.now() < giveUpAt) {
    const answers = await around('side by side', () =>
      Promise.all(Array.from({ length: 20 }, (_, n) => cluster.read(TEXT, [n, ...VALUES.slice(1)]))),
    );
    answers.forEach(({ rows }, n) => {
      if (rows[0].n !== n || rows[0].v !== v) wrong.push(`side by side: ${n} was answered by ${JSON.stringify(rows)}`);
    });
  }
  const { rows } = await around('what the server got', () =>
    cluster.write('select query as text, application_name as name from pg_stat_activity where pid = pg_backend_pid()'),
  );
  const isShared = shared() >= 50;
  await pool.end();
  await cluster.close();
  return { outcome: { servers, wrong, warnings, isShared }, sent: rows[0] };
};

/** What every app must tell, beside `isShared`: whether reads share connections. */
module.exports.ALL_RIGHT = {
  servers: {
    'cluster.read': 'r1',
    'cluster.read of an object': 'r1',
    'cluster.read of a named object': 'r1',
    'cluster.query': 'r1',
    'cluster.write': 'primary',
    'cluster.transaction': 'primary',
    'cluster.transaction, read only': 'r1',
    'cluster.stream': 'r1',
    'pool.query': 'r1',
    'pool.query of an object': 'r1',
    'pool.query with a callback': 'r1',
    'pool.connect': 'r1',
    'pool.connect with callbacks': 'r1',
    'pool.connect, streaming': 'r1',
    'pool.connect, in a transaction': 'primary',
    'pool.connect, in a read-only transaction': 'r1',
  },
  wrong: [],
  warnings: [],
};

function faultsOf(rows, v) {
  const [row] = rows;
  if (rows.length !== 1) return [`${rows.length} rows`];
  const [n, t, b] = VALUES;
  const isRight = row.n === n && row.t === t && Buffer.isBuffer(row.b) && row.b.equals(b) && row.nothing === null;
  return [
    ...(isRight ? [] : [`its values came back as ${JSON.stringify(row)}`]),
    ...(row.v === v ? [] : [`it saw ${row.v} after ${v} was written`]),
  ];
}

function waysOf(cluster, inCallback) {
  // the app's own, from the folder that it runs in
  const QueryStream = require(require.resolve('pg-query-stream', { paths: [process.cwd()] }));
  const pool = cluster.pool();
  const query = () => ({ text: TEXT, values: [...VALUES] });
  const rowsOf = async (result) => (await result).rows;
  const collect = async (stream) => {
    const rows = [];
    for await (const row of stream) rows.push(row);
    return rows;
  };
  const withClient = async (run) => {
    const client = await pool.connect();
    try {
      return await run(client);
    } finally {
      client.release();
    }
  };
  const between = (begin) => () =>
    withClient(async (client) => {
      await client.query(begin);
      const rows = await rowsOf(client.query(TELLING, VALUES));
      await client.query('commit');
      return rows;
    });
  const called = (way, ask) =>
    new Promise((resolve, reject) => {
      ask((error, result, release) => {
        inCallback(way);
        if (error) reject(error);
        else resolve([result, release]);
      });
    });

  const ways = {
    'cluster.read': { server: 'r1', run: () => rowsOf(cluster.read(TEXT, VALUES)) },
    'cluster.read of an object': { server: 'r1', run: () => rowsOf(cluster.read(query())) },
    'cluster.read of a named object': { server: 'r1', run: () => rowsOf(cluster.read({ name: 'mine', ...query() })) },
    'cluster.query': { server: 'r1', run: () => rowsOf(cluster.query(TEXT, VALUES)) },
    'cluster.write': {
      server: 'primary',
      writes: true,
      run: () =>
        rowsOf(
          cluster.write({
            text: `update t set v = v + 1 where id = 1 returning ${COLUMNS}`,
            values: VALUES,
          }),
        ),
    },
    'cluster.transaction': {
      server: 'primary',
      writes: true,
      run: () =>
        cluster.transaction(async (client) => {
          await client.query('update t set v = v + 1 where id = $1', [1]);
          return rowsOf(client.query({ text: TELLING, values: [...VALUES] }));
        }),
    },
    'cluster.transaction, read only': {
      server: 'r1',
      run: () => cluster.transaction((client) => rowsOf(client.query(TELLING, VALUES)), { readOnly: true }),
    },
    'cluster.stream': { server: 'r1', run: () => collect(cluster.stream(TEXT, VALUES)) },
    'pool.query': { server: 'r1', run: () => rowsOf(pool.query(TEXT, VALUES)) },
    'pool.query of an object': { server: 'r1', run: () => rowsOf(pool.query(query())) },
    'pool.query with a callback': {
      server: 'r1',
      run: async (way) => (await called(way, (callback) => pool.query(TEXT, VALUES, callback)))[0].rows,
    },
    'pool.connect': { server: 'r1', run: () => withClient((client) => rowsOf(client.query(TEXT, VALUES))) },
    'pool.connect with callbacks': {
      server: 'r1',
      run: async (way) => {
        const [client, release] = await called(way, (callback) => pool.connect(callback));
        const [{ rows }] = await called(way, (callback) => client.query(query(), callback));
        release();
        return rows;
      },
    },
    'pool.connect, streaming': {
      server: 'r1',
      run: () => withClient((client) => collect(client.query(new QueryStream(TEXT, VALUES)))),
    },
    'pool.connect, in a transaction': { server: 'primary', run: between('begin') },
    'pool.connect, in a read-only transaction': { server: 'r1', run: between('begin read only') },
  };
  const failing = {
    'a read that fails': () => cluster.read(FAILING),
    'a write that fails': () => cluster.write(FAILING),
    'a stream that fails': () => collect(cluster.stream(FAILING)),
    'a query of the pool that fails': () => pool.query(FAILING),
    'a query of a client that fails': () => withClient((client) => client.query(FAILING)),
    'a transaction that fails': () => cluster.transaction((client) => client.query(FAILING)),
  };
  return { pool, ways, failing };
}
