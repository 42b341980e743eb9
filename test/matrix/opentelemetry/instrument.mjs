/** The same for ES modules, by OpenTelemetry's hook on `import`. */
import { register } from 'node:module';
import './instrument.cjs';

register('@opentelemetry/instrumentation/hook.mjs', import.meta.url);
