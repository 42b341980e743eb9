import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ResponseHead } from '../../../src/http/response-head.js';
import { type Carriage, settleSharing } from '../../../src/http/sharing.js';

const PUBLIC = { 'Cache-Control': 'public, max-age=5', 'Surrogate-Key': 'products', 'Cache-Tag': 'products' };

interface Case {
  readonly fields?: Record<string, string | string[]>;
  readonly headers?: Record<string, string>;
  readonly status?: number;
  readonly carriage?: Partial<Carriage>;
  readonly session?: Partial<Carriage['session']>;
  readonly isPublished?: boolean;
}

function settled({ fields = {}, headers = {}, status = 200, carriage, session, isPublished = true }: Case) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  response.statusCode = status;
  for (const [name, value] of Object.entries({ ...PUBLIC, ...fields })) response.setHeader(name, value);
  const warned: string[] = [];
  const notes = { isTold: true, isPublished } as Carriage['session']['notes'];
  settleSharing(new ResponseHead(response, undefined), { method: 'GET', headers }, [
    {
      session: { notes, hasWritten: false, hasReadOn: false, ...session },
      tools: { warnOnce: ({ message }) => void warned.push(message) },
      header: 'pg-ladder-token',
      hasCookie: true,
      isLeaving: false,
      ...carriage,
    },
  ]);
  return { head: { ...response.getHeaders() }, warned };
}

describe('an answer that caches were told to give to everybody', () => {
  it('goes out as it is, and varies by the token', () => {
    const { head, warned } = settled({});
    expect(head).toMatchObject({ 'cache-control': 'public, max-age=5', vary: 'Cookie, pg-ladder-token' });
    expect(warned).toEqual([]);
  });

  it('keeps what it varies by already', () => {
    expect(settled({ fields: { Vary: 'Origin, cookie' } }).head['vary']).toBe('Origin, cookie, pg-ladder-token');
    expect(settled({ fields: { Vary: '*' } }).head['vary']).toBe('*');
    expect(settled({ carriage: { header: undefined } }).head['vary']).toBe('Cookie');
  });

  it.each<[string, RegExp, Case]>([
    ['its request has Authorization', /Authorization/, { headers: { authorization: 'Basic x' } }],
    ['it sets a cookie', /cookie/, { fields: { 'Set-Cookie': ['a=1', 'b=2'] } }],
    ['it carries a token', /token/, { carriage: { isLeaving: true } }],
    ['its request wrote', /wrote/, { session: { hasWritten: true } }],
    ['its request read on', /read after/, { session: { hasReadOn: true } }],
    ['tokens are kept elsewhere', /no header and no cookie/, { carriage: { header: undefined, hasCookie: false } }],
    ['it tells of a failure', /failure/, { status: 503 }],
  ])('is private, with a warning, where %s', (_why, because, given) => {
    const { head, warned } = settled({ ...given, fields: { ...given.fields, 'CDN-Cache-Control': 'max-age=60' } });
    expect(head).toMatchObject({ 'cache-control': 'private, no-store', 'cdn-cache-control': 'no-store' });
    expect(head).not.toHaveProperty('surrogate-key');
    expect(head).not.toHaveProperty('cache-tag');
    expect(warned).toEqual([expect.stringMatching(because)]);
  });

  it('is left alone where the application has closed it since, or never opened it', () => {
    const closed = { fields: { 'Cache-Control': 'private, max-age=5' }, headers: { authorization: 'x' } };
    expect(settled(closed)).toMatchObject({ head: { 'cache-control': 'private, max-age=5' }, warned: [] });
    const own = settled({ headers: { authorization: 'x' }, isPublished: false });
    expect(own).toMatchObject({ head: { 'cache-control': 'public, max-age=5' }, warned: [] });
  });
});
