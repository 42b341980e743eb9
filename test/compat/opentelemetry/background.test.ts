/** OpenTelemetry's instrumentation of pg: what the library does by itself makes no span, and each statement of a request is in that request's trace. */
import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeOf, size, until } from '../../behaviour/fixture.js';
import { openStage, type Stage } from '../workload.js';

interface Definition {
  readonly name: string;
  patch(module: object): unknown;
  unpatch(module: object): unknown;
}

const IDLE_MILLIS = size(3_000, 60_000);
const TEXT = 'select age from people where id = $1';

describe.each([[{}], [{ requireParentSpan: true }]])('OpenTelemetry with %j', (config) => {
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  const tracer = provider.getTracer('app');
  const instrumentation = new PgInstrumentation({ ...config, enhancedDatabaseReporting: true });
  const modules: Record<string, object> = { pg, 'pg-pool': Object.getPrototypeOf(pg.Pool) as object };
  const definitions = (instrumentation as unknown as { init(): Definition[] }).init();
  let stage: Stage;

  const inRequest = <T>(name: string, run: () => Promise<T>): Promise<T> =>
    tracer.startActiveSpan(name, async (span) => {
      try {
        return await run();
      } finally {
        span.end();
      }
    });
  const ofPg = () => exporter.getFinishedSpans().filter(({ instrumentationScope: { name } }) => name !== 'app');

  beforeAll(async () => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    instrumentation.setTracerProvider(provider);
    for (const { name, patch } of definitions) patch(modules[name] as object);
    // All that lives longer begins in one request.
    stage = await inRequest('the first', async () => {
      const opened = await openStage();
      await until('it is known to read', async () => (await opened.cluster.explain(TEXT)).class === 'read');
      for (let id = 0; id < 20; id++) await opened.cluster.query(TEXT, [id]);
      return opened;
    });
  });
  afterAll(async () => {
    await stage[Symbol.asyncDispose]();
    for (const { name, unpatch } of definitions) unpatch(modules[name] as object);
    context.disable();
    trace.disable();
  });

  it('makes no span while nothing is asked', async () => {
    exporter.reset();
    await new Promise((resolve) => setTimeout(resolve, IDLE_MILLIS));
    // They were asked meanwhile.
    for (const name of ['r1', 'r2']) expect(nodeOf(stage.cluster, name).stalenessMillis).toBeLessThan(IDLE_MILLIS);
    expect(ofPg().map(({ name }) => name)).toEqual([]);
  });

  it('has each statement of a thousand requests under its own', async () => {
    exporter.reset();
    const requests = new Map<string, number>();
    const one = async (i: number): Promise<void> => {
      const id = i % 32;
      await inRequest(`request ${i}`, async () => {
        requests.set(trace.getActiveSpan()?.spanContext().traceId ?? '', i);
        const mark = `/* request ${i}. */`;
        await stage.cluster.session(async () => {
          if (i % 8 === 0) await stage.cluster.write(`update people set age = age where id = $1 ${mark}`, [id]);
          const read = i % 3 === 0 ? stage.pool : stage.cluster;
          await read.query(`${TEXT} ${mark}`, [id]);
          if (i % 40 === 0) await stage.cluster.transaction((client) => client.query(`${TEXT} ${mark}`, [id]));
        });
      });
    };
    const left = Array.from({ length: 1_000 }, (_, i) => i);
    const work = async (): Promise<void> => {
      for (let i = left.shift(); i !== undefined; i = left.shift()) await one(i);
    };
    await Promise.all(Array.from({ length: 32 }, work));

    const textOf = ({ attributes }: { attributes: Record<string, unknown> }) =>
      String(attributes['db.query.text'] ?? attributes['db.statement'] ?? '');
    const queries = ofPg().filter(({ name }) => name.startsWith('pg.query'));
    const users = queries.filter((span) => textOf(span).includes('/* request '));
    // One that held up others on a shared connection ran once more.
    expect(users.length).toBeGreaterThanOrEqual(1_000 + 125 + 25);
    expect(new Set(users.map((span) => span.spanContext().traceId))).toEqual(new Set(requests.keys()));
    expect(
      users.filter((span) => !textOf(span).includes(`/* request ${requests.get(span.spanContext().traceId)}. */`)),
    ).toEqual([]);
    // Beside them there is what a transaction says, and nothing of the library's own.
    const others = queries.filter((span) => !users.includes(span)).map(textOf);
    expect(new Set(others)).toEqual(new Set(['begin /* pg-ladder */', 'commit /* pg-ladder */']));
    const strays = ofPg().filter((span) => !requests.has(span.spanContext().traceId));
    expect(strays.filter(({ name }) => name !== 'pg.connect')).toEqual([]);
  });
});
