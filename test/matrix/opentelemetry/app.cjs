/** What main.cjs and main.mjs do once they have loaded the library: every way, each in a span, and what spans there are. */
const { context, trace } = require('@opentelemetry/api');
const everyWay = require('../every-way.cjs');

module.exports = async function app(ladder) {
  const { PRIMARY_URL: primary, REPLICA_URL: connectionString, LANE: lane } = process.env;
  const tracer = trace.getTracer('app');
  const { exporter, hooked } = globalThis.observed;
  /** The last trace of each way, and all of them: one way is gone more than once. */
  const idsOf = {};
  const ids = new Set();
  const around = (way, run) =>
    tracer.startActiveSpan(way, async (span) => {
      idsOf[way] = span.spanContext().traceId;
      ids.add(idsOf[way]);
      try {
        return await run();
      } finally {
        span.end();
      }
    });
  const here = () => trace.getSpan(context.active())?.name;
  const options = { primary, replicas: [{ name: 'r1', connectionString }], lane: lane === 'on' };
  const { outcome, sent } = await everyWay(ladder, { options, around, here });

  const spans = exporter.getFinishedSpans().filter(({ instrumentationScope }) => instrumentationScope.name !== 'app');
  // Of what is submitted, such as a stream, the instrumentation makes no span.
  const unseen = Object.keys(idsOf).filter((way) => {
    if (way === 'a stream that fails') return false;
    const isOf = (span) => span.name.startsWith('pg.query') && span.spanContext().traceId === idsOf[way];
    return !spans.some(isOf);
  });
  const names = [...new Set(spans.map(({ name }) => name.split(/[:\s]/)[0]))].sort();
  const valueCount = spans.filter(({ attributes }) => 'db.postgresql.values' in attributes).length;
  const orphanCount = spans.filter((span) => !ids.has(span.spanContext().traceId)).length;
  console.log(`outcome: ${JSON.stringify({ outcome, sent, unseen, names, valueCount, orphanCount, hooked })}`);
};
