/** What main.cjs and main.mjs do once they have loaded the library: servers of their own, every way, and a request. */
const everyWay = require('../every-way.cjs');

module.exports = async function app(ladder, testing, http) {
  const servers = await testing.startTestCluster({ replicas: 1 });
  const address = ({ name, connectionString }) => ({ name, connectionString });
  const options = { primary: servers.primary.connectionString, replicas: servers.replicas.map(address) };
  const outcomes = {};
  for (const lane of [true, false]) {
    const { outcome } = await everyWay(ladder, { options: { ...options, lane } });
    outcomes[lane ? 'withLane' : 'withoutLane'] = outcome;
  }
  await servers.stop();
  const left = process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap' || kind === 'Timeout');
  console.log(
    `outcome: ${JSON.stringify({ version: process.version, http: Object.keys(http).length > 0, left, ...outcomes })}`,
  );
};
