// The layering of src/: imports point only downward. `import type` counts too.
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/** From the ground up. A room is a file of src/ without its suffix, or a folder with all that is in it. */
const layers = [
  ['printable', 'async-context'],
  ['clock', 'decision-log', 'errors', 'nearest', 'redaction', 'signals'],
  ['deadline'],
  ['change-relay', 'change-source', 'freshness', 'postgres', 'redis-client', 'shared-store'],
  ['options', 'events', 'redis-subscription'],
  ['open-clusters', 'publisher'],
  ['token', 'routing', 'sql'],
  ['statements'],
  ['nodes', 'session'],
  ['changes', 'isolation', 'listen'],
  ['execute'],
  ['cache'],
  ['live'],
  ['observe'],
  ['pool'],
  ['calls', 'closing'],
  ['contexts'],
  ['pool-access', 'session-runner'],
  ['cluster'],
  ['clusters'],
  ['discovery', 'http', 'joint-session', 'redis'],
  ['index', 'cli', 'testing'],
];

/** Rooms that may be imported from another room on the same layer. */
const neighbours: Record<string, string[]> = { cli: ['index', 'testing'] };

/** Rooms that stand alone: they import these rooms and no others. */
const alone: Record<string, string[]> = { testing: ['change-source', 'errors', 'clock', 'nearest'] };

interface Place {
  room: string;
  layer: number;
}

/** Where a file such as `http/sessions.ts` lives. */
function placeOf(file: string): Place | undefined {
  const [room = ''] = file.replace(/\.ts$/, '').split('/');
  const layer = layers.findIndex((rooms) => rooms.includes(room));
  return layer < 0 ? undefined : { room, layer };
}

/** Why `file` may not import `target`, or undefined if it may. Both are paths below src/. */
function complaint(file: string, target: string): string | undefined {
  const from = placeOf(file);
  const to = placeOf(target);
  if (!from) return `${file} belongs to no layer: give it a room in the list of this test`;
  if (!to) return `${file} imports ${target}, which belongs to no layer`;
  if (from.room === to.room) return undefined;
  const only = alone[from.room];
  if (only) return only.includes(to.room) ? undefined : `${file} imports ${target}, but ${from.room} stands alone`;
  if (to.layer < from.layer || neighbours[from.room]?.includes(to.room)) return undefined;
  if (to.layer > from.layer) return `${file} imports ${target}, which is above it (${from.room} < ${to.room})`;
  return `${file} imports ${target}, which is another room on the same layer (${from.room}, ${to.room})`;
}

/** The files below src/ that a source text imports, re-exports or mentions in `import('…')`, types included. */
function importsOf(file: string, text: string): string[] {
  return ts
    .preProcessFile(text, true, true)
    .importedFiles.map(({ fileName }) => fileName)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => posix.join(posix.dirname(file), specifier.replace(/\.js$/, '.ts')));
}

const src = fileURLToPath(new URL('../../src/', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'))
  .sort();

describe('the layers of src/', () => {
  it('have a room for every file', () => {
    expect(files).not.toEqual([]);
    expect(files.filter((file) => !placeOf(file))).toEqual([]);
  });

  it('name no room that does not exist', () => {
    const rooms = layers.flat();
    const unknown = rooms.filter((room) => !files.some((file) => placeOf(file)?.room === room));
    expect(unknown).toEqual([]);
  });

  it('are crossed by imports only downward', () => {
    const complaints = files.flatMap((file) =>
      importsOf(file, readFileSync(join(src, file), 'utf8')).map((target) => complaint(file, target)),
    );
    expect(complaints.filter((found) => found !== undefined)).toEqual([]);
  });

  it('would notice every kind of import', () => {
    const text = [
      "import { a } from './a.js';",
      "import type { B } from './b.js';",
      "import { type C } from './c.js';",
      "export { d } from './d.js';",
      "export type { E } from './e.js';",
      "export * from './f.js';",
      "const g = await import('./g.js');",
      "type H = import('./h.js').H;",
      "import './i.js';",
      "import pg from 'pg';",
      "const text = 'import { no } from \"./no.js\"'; // import './no.js'",
    ].join('\n');
    expect(importsOf('cluster/x.ts', text)).toEqual(Array.from('abcdefghi', (name) => `cluster/${name}.ts`));
    expect(importsOf('routing/route.ts', "import '../freshness/lsn.js'")).toEqual(['freshness/lsn.ts']);
  });

  it.each([
    ['freshness/floor.ts', 'freshness/lsn.ts', true],
    ['freshness/floor.ts', 'errors.ts', true],
    ['errors.ts', 'freshness/floor.ts', false],
    ['freshness/floor.ts', 'postgres/errors.ts', false],
    ['postgres/errors.ts', 'nodes/node.ts', false],
    ['events.ts', 'sql/grammar.ts', false],
    ['routing/route.ts', 'sql/grammar.ts', false],
    ['session/session.ts', 'http/sessions.ts', false],
    ['http/express.ts', 'http/sessions.ts', true],
    ['http/express.ts', 'pool/pool.ts', true],
    ['pool/pool.ts', 'cluster.ts', false],
    ['http/sessions.ts', 'cluster.ts', true],
    ['execute/read.ts', 'cluster.ts', false],
    ['cli/main.ts', 'testing/index.ts', true],
    ['testing/index.ts', 'cluster.ts', false],
    ['testing/index.ts', 'errors.ts', true],
    ['testing/index.ts', 'freshness/lsn.ts', false],
    ['index.ts', 'testing/index.ts', false],
    ['strange.ts', 'errors.ts', false],
    ['execute/read.ts', 'strange.ts', false],
  ])('judge that %s imports %s: %s', (file, target, allowed) => {
    expect(complaint(file, target) === undefined).toBe(allowed);
  });
});
