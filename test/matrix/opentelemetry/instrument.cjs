/** Sets OpenTelemetry up as its docs say, before anything loads pg. With PLAN's options for the instrumentation of pg. */
const { context, trace } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');

const { hooks, ...config } = JSON.parse(process.env.OPTIONS);
const hooked = { requestHook: 0, responseHook: 0, connectionHook: 0 };
if (hooks !== undefined) {
  for (const name of Object.keys(hooked)) {
    config[name] = (span, about) => {
      hooked[name]++;
      span.setAttribute(`test.${name}`, Object.keys(about).join());
      if (hooks === 'throw') throw new Error('a hook that fails');
    };
  }
}
const exporter = new InMemorySpanExporter();
const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
trace.setGlobalTracerProvider(tracerProvider);
registerInstrumentations({ tracerProvider, instrumentations: [new PgInstrumentation(config)] });

globalThis.observed = { exporter, hooked };
