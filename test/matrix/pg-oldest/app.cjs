/** What main.cjs and main.mjs do once they have loaded the library: every way. */
const { readFileSync } = require('node:fs');
const everyWay = require('../every-way.cjs');

/** By its path: it does not export it. */
const { version } = JSON.parse(readFileSync(`${__dirname}/node_modules/pg/package.json`, 'utf8'));

module.exports = async function app(ladder) {
  const { PRIMARY_URL: primary, REPLICA_URL: connectionString, LANE: lane } = process.env;
  const options = { primary, replicas: [{ name: 'r1', connectionString }], lane: lane === 'on' };
  const { outcome } = await everyWay(ladder, { options, shares: false });
  console.log(`outcome: ${JSON.stringify({ version, ...outcome })}`);
};
