/** Whatever an application says of its answer’s caching, in whatever way: an answer that carries a token is kept by no cache that others share. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forbidSharing, mayBeShared } from '../../src/http/caching.js';
import { ResponseHead } from '../../src/http/response-head.js';
import { holds } from './hostile.js';

const DIRECTIVES = [
  'private',
  'no-store',
  'public',
  'max-age=60',
  's-maxage=600',
  'must-understand',
  'no-cache',
  'private="set-cookie"',
  'no-cache="a, private"',
  'no-store="x"',
  'ext="private, no-store"',
  'ext="\\", private, \\""',
  'x-private',
  'private-ish',
  'private; max-age=1',
  'content="ESI/1.0"',
  'PRIVATE',
  ' private ',
  '"',
  '\\',
  '=',
  '',
];
const FIELDS = [
  'Cache-Control',
  'cache-control',
  'CDN-Cache-Control',
  'Surrogate-Control',
  'Vercel-CDN-Cache-Control',
  'X-Accel-Expires',
  'Edge-Control',
  'Expires',
  'X-Other',
];
const value = fc.array(fc.constantFrom(...DIRECTIVES), { minLength: 1, maxLength: 5 }).map((parts) => parts.join(', '));
const fields = fc.array(fc.tuple(fc.constantFrom(...FIELDS), fc.oneof(value, fc.constantFrom('60', '0'))), {
  maxLength: 4,
});
const way = fc.constantFrom('setHeader', 'object', 'flat', 'pairs', 'phrase');

/** As the simplest cache reads it, which knows nothing of quotes. */
const isClosed = (text: string) => {
  const parts = text.split(',').map((part) => part.trim().toLowerCase());
  return parts.includes('private') || (parts.includes('no-store') && !parts.includes('must-understand'));
};

describe('the head of an answer with a token', () => {
  it('lets no shared cache keep it, and leaves everything else as it was', async () => {
    await holds(
      fc.property(
        fields,
        fields,
        way,
        fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'QUERY'),
        (set, given, how, method) => {
          const response = new ServerResponse(new IncomingMessage(new Socket()));
          for (const [name, text] of set) response.setHeader(name, text);
          const unique = [
            ...new Map(given.map(([name, text]) => [name.toLowerCase(), [name, text] as const])).values(),
          ];
          const args: Record<typeof how, unknown[] | undefined> = {
            setHeader: undefined,
            object: [200, Object.fromEntries(unique)],
            phrase: [200, undefined, Object.fromEntries(unique)],
            flat: [200, unique.flat()],
            pairs: [200, unique],
          };
          const before = new ResponseHead(response, args[how]);
          const other = before.get('x-other');
          const head = new ResponseHead(response, args[how]);
          const isShared = mayBeShared(head, method);
          if (isShared) forbidSharing(head);
          expect(mayBeShared(head, method)).toBe(false);
          expect(head.get('x-other')).toBe(other);
          // By the plainest reading as well, of what leaves.
          const cacheControl = head.get('cache-control');
          if (method === 'GET' || isShared) expect(isClosed(cacheControl ?? '')).toBe(true);
          for (const name of head.names) {
            const text = head.get(name) ?? '';
            if (name === 'x-accel-expires') expect(text).toBe('0');
            else if (name !== 'cache-control' && name.endsWith('control')) expect(isClosed(text)).toBe(true);
          }
        },
      ),
      2_000,
    );
  });
});
