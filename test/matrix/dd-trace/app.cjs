/** What main.cjs and main.mjs do once they have loaded the library: every way, each in a span, and what spans there are. */
const { subscribe } = require('node:diagnostics_channel');
const { default: tracer } = require('dd-trace');
const everyWay = require('../every-way.cjs');

module.exports = async function app(ladder) {
  const { PRIMARY_URL: primary, REPLICA_URL: connectionString, LANE: lane } = process.env;
  const idsOf = {};
  const ended = new Set();
  // What its own plugin for pg listens to: its spans leave for an agent, which is not there.
  subscribe('apm:pg:query:finish', ({ currentStore }) => ended.add(currentStore?.span?.context().toTraceId()));
  const around = (way, run) =>
    tracer.trace(way, (span) => {
      idsOf[way] = span.context().toTraceId();
      return run();
    });
  const here = () => tracer.scope().active()?.context()._name;
  const options = { primary, replicas: [{ name: 'r1', connectionString }], lane: lane === 'on' };
  const { outcome, sent } = await everyWay(ladder, { options, around, here });

  const unseen = Object.keys(idsOf).filter((way) => !ended.has(idsOf[way]));
  console.log(`outcome: ${JSON.stringify({ outcome, sent, unseen })}`);
};
