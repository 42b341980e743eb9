/**
 * `pg-ladder explain`: what `cluster.query` would make of a text on real servers, and where it
 * would go now. It runs nothing.
 */
import { parseArgs } from 'node:util';
import { printable, printableJson } from '../printable.js';
import { createCluster, type Explanation } from './library.js';
import { UsageError } from './usage.js';

export interface ExplainOptions {
  readonly text: string;
  readonly url: string;
  readonly readOnlyFunctions: readonly string[];
  readonly json: boolean;
}

const READY_MILLIS = 5_000;
const MAX_LINE_LENGTH = 4_000;

/** @throws UsageError */
export function explainOptions(args: readonly string[], env: NodeJS.ProcessEnv): ExplainOptions {
  const { values, positionals } = parse(args);
  const [text, ...more] = positionals;
  const url = values.url ?? env['DATABASE_URL'];
  if (text === undefined || more.length > 0) {
    throw new UsageError(`explain: expected one statement, in quotes, got ${positionals.length}`);
  }
  if (url === undefined || url === '') throw new UsageError('explain: expected --url, or DATABASE_URL to be set');
  return { text, url, readOnlyFunctions: values['read-only-function'], json: values.json };
}

/** The answer as text. */
export async function explain(
  { text, url, readOnlyFunctions, json }: ExplainOptions,
  signal: AbortSignal,
): Promise<string> {
  await using cluster = createCluster(url, { readOnlyFunctions });
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error('interrupted')), { once: true });
  });
  const asked = cluster.ready({ timeoutMillis: READY_MILLIS }).then(() => cluster.explain(text));
  const found = await Promise.race([asked, interrupted]);
  if (json) return `${printableJson(found)}\n`;
  const lines = [
    ['class', found.class],
    ['because', found.because],
    ['digest', found.digest],
    ['touches', touched(found)],
    ['repeats', `${found.dependencies.repeatability.repeats}: ${found.dependencies.repeatability.because}`],
    ['goes to', `${found.node} (${found.role}), ${found.reason}`],
    ...found.replicas.map(({ name, verdict, state, lsn = 'unknown', stalenessMillis }) => [
      name,
      `${verdict}, ${state}, at ${lsn}${stalenessMillis === undefined ? '' : `, at most ${Math.ceil(stalenessMillis)} ms old`}`,
    ]),
  ];
  const width = Math.max(...lines.map(([name = '']) => name.length));
  return lines
    .map(([name = '', value = '']) => `${name.padEnd(width)}  ${printable(value, MAX_LINE_LENGTH)}\n`)
    .join('');
}

function touched({ dependencies: { relations, mayBeMore } }: Explanation): string {
  const known = relations.map(({ schema, name, kind }) => `${schema}.${name} (${kind})`);
  const all = mayBeMore === undefined ? known : [...known, `maybe more: ${mayBeMore}`];
  return all.length === 0 ? 'no relation' : all.join(', ');
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: {
        url: { type: 'string' },
        'read-only-function': { type: 'string', multiple: true, default: [] },
        json: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(`explain: ${(error as Error).message}`);
  }
}
