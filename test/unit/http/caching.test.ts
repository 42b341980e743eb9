import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { forbidSharing, mayBeShared } from '../../../src/http/caching.js';
import { ResponseHead } from '../../../src/http/response-head.js';

/** What leaves in place of that, where a shared cache could keep it; `undefined` where none can. */
function madePrivate(method: string, fields: Record<string, string | number | string[]>) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  for (const [name, value] of Object.entries(fields)) response.setHeader(name, value);
  const head = new ResponseHead(response, undefined);
  if (!mayBeShared(head, method)) return undefined;
  forbidSharing(head);
  return { ...response.getHeaders() };
}

describe('an answer that shared caches could keep', () => {
  it.each<[string, string, Record<string, string | number | string[]>, Record<string, string>]>([
    ['a page', 'GET', {}, { 'cache-control': 'private' }],
    [
      'a word in quotes',
      'GET',
      { 'Cache-Control': 'ext="private, no-store"' },
      { 'cache-control': 'private, ext="private, no-store"' },
    ],
    [
      'private fields only',
      'GET',
      { 'Cache-Control': 'private="set-cookie, x-a", max-age=60' },
      { 'cache-control': 'private, max-age=60' },
    ],
    [
      'a word like private',
      'GET',
      { 'Cache-Control': 'x-private, not-private' },
      { 'cache-control': 'private, x-private, not-private' },
    ],
    [
      'a quote that is left open',
      'GET',
      { 'Cache-Control': 'max-age=5, ext="a, private' },
      { 'cache-control': 'private, max-age=5' },
    ],
    [
      'an escaped quote',
      'GET',
      { 'Cache-Control': 'ext="\\", private, \\""' },
      { 'cache-control': 'private, ext="\\", private, \\""' },
    ],
    [
      'no-store for those who do not understand',
      'GET',
      { 'Cache-Control': 'must-understand, no-store' },
      { 'cache-control': 'private, no-store' },
    ],
    ['a list of values', 'GET', { 'Cache-Control': ['public', 's-maxage=5'] }, { 'cache-control': 'private' }],
    ['a query that only reads', 'QUERY', {}, { 'cache-control': 'private' }],
    [
      'a POST that expires',
      'POST',
      { Expires: 'Thu, 01 Dec 2044 16:00:00 GMT' },
      { expires: 'Thu, 01 Dec 2044 16:00:00 GMT', 'cache-control': 'private' },
    ],
    [
      'a POST that expires, with a word of no weight',
      'POST',
      { Expires: '0', 'Cache-Control': 'no-transform' },
      { expires: '0', 'cache-control': 'private, no-transform' },
    ],
    ['a POST with a lifetime', 'POST', { 'Cache-Control': 'max-age=60' }, { 'cache-control': 'private, max-age=60' }],
    [
      'one for a CDN',
      'GET',
      { 'Cache-Control': 'private', 'CDN-Cache-Control': 'max-age=60' },
      { 'cache-control': 'private', 'cdn-cache-control': 'no-store' },
    ],
    [
      'a POST for a CDN',
      'POST',
      { 'CDN-Cache-Control': 'max-age=60' },
      { 'cache-control': 'private', 'cdn-cache-control': 'no-store' },
    ],
    [
      'one for one CDN',
      'GET',
      { 'Cache-Control': 'no-store', 'Vercel-CDN-Cache-Control': 'public' },
      { 'cache-control': 'no-store', 'vercel-cdn-cache-control': 'no-store' },
    ],
    [
      'one for a surrogate, which has more to do',
      'GET',
      { 'Cache-Control': 'private', 'Surrogate-Control': 'max-age=60, content="ESI/1.0"' },
      { 'cache-control': 'private', 'surrogate-control': 'no-store, content="ESI/1.0"' },
    ],
    [
      'one for nginx',
      'GET',
      { 'Cache-Control': 'private', 'X-Accel-Expires': 60 },
      { 'cache-control': 'private', 'x-accel-expires': '0' },
    ],
  ])('leaves as one that is its receiver’s: %s', (_, method, fields, expected) => {
    expect(madePrivate(method, fields)).toEqual(expected);
  });

  it.each<[string, string, Record<string, string>]>([
    ['is private', 'GET', { 'Cache-Control': 'max-age=60, Private' }],
    ['is not to be stored', 'GET', { 'Cache-Control': 'no-store' }],
    [
      'is private for everybody',
      'GET',
      { 'Cache-Control': 'private', 'CDN-Cache-Control': 'no-store', 'Surrogate-Control': 'no-store' },
    ],
    ['is never kept by nginx', 'GET', { 'Cache-Control': 'private', 'X-Accel-Expires': '0' }],
    ['answers a POST, and nobody says more', 'POST', {}],
    ['answers a POST, and gives it no lifetime', 'POST', { 'Cache-Control': 'no-cache' }],
  ])('is none that %s', (_, method, fields) => {
    expect(madePrivate(method, fields)).toBeUndefined();
  });
});
