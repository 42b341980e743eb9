import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import { createSecureServer, createServer as createServer2 } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { CookieJar } from 'tough-cookie';
import { describe, expect, it } from 'vitest';
import {
  answerOf2,
  Browser,
  caughtUp,
  cluster,
  type Handler,
  LIFETIME_MILLIS,
  listen,
  newName,
  openOne,
  pauseAll,
  post,
  profile,
  save,
  serve,
  servers,
  servesRequests,
  tokenOf,
  within,
} from './served.js';

async function cookieOverTls(url: string): Promise<string[] | undefined> {
  const { request } = await import('node:https');
  const sent = request(`${url}/Tim`, { method: 'POST', rejectUnauthorized: false, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.headers['set-cookie'];
}

/** A certificate for nobody, by nobody: node:crypto reads them and makes none. */
function selfSigned(): { key: string; cert: string } {
  const der = (tag: number, ...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const hex = (text: string) => Buffer.from(text, 'hex');
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = der(0x30, hex('06082a8648ce3d040302'));
  const name = der(0x30, der(0x31, der(0x30, hex('0603550403'), der(0x0c, Buffer.from('tests')))));
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z')));
  const version = hex('a003020102');
  const serial = hex('020101');
  const key = publicKey.export({ type: 'spki', format: 'der' });
  const body = der(0x30, version, serial, ecdsaWithSha256, name, validity, name, key);
  const signature = der(0x03, hex('00'), sign('sha256', body, privateKey));
  const cert = der(0x30, body, ecdsaWithSha256, signature).toString('base64');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${cert.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}

servesRequests();

describe('sessions that travel with requests', () => {
  describe('the cookie', () => {
    it('shows a browser its own write on the next request, on another process, while no replica has it', async () => {
      const other = await openOne();
      const [here, there] = [await serve(profile()), await serve(profile(other), {}, other)];
      await pauseAll();
      const [name, old] = [newName(), await new Browser().text(there)];
      const browser = new Browser();
      await post(here, name, browser);
      expect(await browser.text(there)).toBe(name);
      // Whoever has no token has the replicas' past: without the cookie the line above would fail.
      expect(await new Browser().text(there)).toBe(old);
      expect(old).not.toBe(name);
    });

    it('is HttpOnly, Lax, for the host alone and for the token’s lifetime, as a cookie jar understands it', async () => {
      const url = await serve(profile());
      const browser = new Browser();
      await post(url, newName(), browser);
      const [cookie, ...others] = await browser.jar.getCookies(url);
      expect(others).toEqual([]);
      expect(cookie).toMatchObject({
        key: 'pg-ladder',
        httpOnly: true,
        secure: false,
        sameSite: 'lax',
        path: '/',
        hostOnly: true,
        maxAge: LIFETIME_MILLIS / 1_000,
      });
      expect(await browser.jar.getCookieString('http://127.0.0.2/')).toBe('');
      expect(cookie?.value).toHaveLength(95);
    });

    it('is __Host-pg-ladder and Secure over TLS, over HTTP/1 and HTTP/2', async () => {
      const credentials = selfSigned();
      const one = createTlsServer(credentials, within(profile()));
      const two = createSecureServer(credentials, within(profile()) as never);
      for (const server of [one, two]) {
        const url = (await listen(server as Server)).replace('http:', 'https:');
        const cookie =
          server === two
            ? (await answerOf2(url, { ':method': 'POST', ':path': '/Tess' })).headers['set-cookie']
            : await cookieOverTls(url);
        const jar = new CookieJar(undefined, { prefixSecurity: 'strict' });
        await jar.setCookie(cookie?.[0] ?? '', url);
        expect((await jar.getCookies(url))[0]).toMatchObject({
          key: '__Host-pg-ladder',
          secure: true,
          httpOnly: true,
          path: '/',
          hostOnly: true,
        });
      }
    });

    it('is Secure as well where the option says so, and takes name, path, domain and SameSite', async () => {
      const url = await serve(profile(), { cookie: { secure: true } });
      const response = await post(url, newName(), new Browser());
      const jar = new CookieJar(undefined, { prefixSecurity: 'strict' });
      await jar.setCookie(response.headers.getSetCookie()[0] ?? '', 'https://shop.example/');
      expect((await jar.getCookies('https://shop.example/'))[0]).toMatchObject({
        key: '__Host-pg-ladder',
        secure: true,
      });
      const cookie = { path: '/a', domain: 'shop.example', sameSite: 'none', secure: true } as const;
      const named = await fetch(await serve(profile(), { cookie: { ...cookie, name: 'seen' } }), { method: 'POST' });
      await jar.setCookie(named.headers.getSetCookie()[0] ?? '', 'https://www.shop.example/a/b');
      expect((await jar.getCookies('https://api.shop.example/a/c')).at(-1)).toMatchObject({
        key: 'seen',
        path: '/a',
        domain: 'shop.example',
        sameSite: 'none',
      });
      // A prefix would make browsers refuse it there.
      const plain = await fetch(await serve(profile(), { cookie }), { method: 'POST' });
      expect(plain.headers.getSetCookie()[0]).toMatch(/^pg-ladder=/);
    });

    it('is not set when nothing was written, nor anything else', async () => {
      const url = await serve(profile());
      const response = await new Browser().send(url, { headers: { 'pg-ladder-token': '-' } });
      expect(response.headers.getSetCookie()).toEqual([]);
      expect(response.headers.get('pg-ladder-token')).toBeNull();
      expect(response.headers.get('cache-control')).toBeNull();
      const without = await serve(profile(), { cookie: false });
      expect((await post(without, newName(), new Browser())).headers.getSetCookie()).toEqual([]);
    });

    it('is not set anew for a reader who came with one, however much others have written since', async () => {
      const url = await serve(profile());
      const token = await tokenOf(newName());
      await tokenOf(newName());
      for (const headers of [{ cookie: `pg-ladder=${token}` }, { 'pg-ladder-token': token }]) {
        const response = await new Browser().send(url, { headers });
        expect(response.headers.getSetCookie()).toEqual([]);
        expect(response.headers.get('pg-ladder-token')).toBeNull();
        expect(response.headers.get('cache-control')).toBeNull();
      }
    });

    it('goes by the newest of several tokens, wherever they come from and in whatever order', async () => {
      const [older, newer] = [newName(), newName()];
      const olderToken = await tokenOf(older);
      await caughtUp();
      await pauseAll();
      const newerToken = await tokenOf(newer);
      const url = await serve(profile());
      const [a, b] = [olderToken, newerToken];
      const told = (headers: Record<string, string>) => new Browser().send(url, { headers }).then((r) => r.text());
      expect(await told({ cookie: `pg-ladder=${a}` })).toBe(older);
      for (const headers of [
        { cookie: `pg-ladder=${a}; pg-ladder=${b}` },
        { cookie: `pg-ladder=${b}; x=1;pg-ladder=${a}` },
        { cookie: `pg-ladder=${a}; __Host-pg-ladder=${b}` },
        { cookie: `pg-ladder=${a}.${b}` },
        { cookie: `pg-ladder=${a}`, 'pg-ladder-token': b },
        { cookie: `pg-ladder=${b}`, 'pg-ladder-token': a },
        { 'pg-ladder-token': `${a}, ${b}` },
        { 'pg-ladder-token': `${b}.${a}` },
      ]) {
        expect([headers, await told(headers)]).toEqual([headers, newer]);
      }
    });

    it('of a request that wrote early and ended late is no older than that of one that came between', async () => {
      const gate = new EventEmitter();
      const slow: Handler = async (request, response, session) => {
        if (request.url !== '/slow') {
          await profile()(request, response, session);
          return;
        }
        await cluster.write("insert into notes values ('slow')");
        gate.emit('written');
        await once(gate, 'go');
        response.end();
      };
      const url = await serve(slow);
      const browser = new Browser();
      const written = once(gate, 'written');
      const early = browser.send(`${url}/slow`, { method: 'POST' });
      await written;
      // A position that covers the early write alone.
      await cluster.session((session) => session.token());
      await caughtUp();
      await pauseAll();
      const name = newName();
      await post(url, name, browser);
      gate.emit('go');
      await early;
      expect(await browser.text(url)).toBe(name);
    });
  });

  it('monotonicAcrossRequests also carries what a request has read, and nothing else does', async () => {
    const [fresh, stale] = servers.replicas;
    const handler: Handler = async (request, response) => {
      const target = { node: request.url?.slice(1) ?? '' };
      const reading = cluster.read<{ name: string }>('select name from names where id = 1', [], { target });
      response.end(
        await reading.then(
          ({ rows }) => rows[0]?.name,
          (error: { code: string }) => error.code,
        ),
      );
    };
    await stale?.pauseReplay();
    const name = newName();
    await save(name);
    await fresh?.waitForReplay();
    for (const monotonicAcrossRequests of [true, false]) {
      const url = await serve(handler, { monotonicAcrossRequests });
      const browser = new Browser();
      expect(await browser.text(`${url}/r1`)).toBe(name);
      const seen = await browser.text(`${url}/r2`);
      if (monotonicAcrossRequests) expect(seen).toBe('LADDER_NO_CANDIDATE');
      else expect(seen).not.toBe(name);
      expect((await browser.token(url)) !== undefined).toBe(monotonicAcrossRequests);
    }
  });

  it('carries a session over HTTP/2, held or not, with cookie and header', async () => {
    const piece = randomBytes(300_000);
    const url = await listen(
      createServer2(
        within(async (request, response, session) => {
          if (request.url !== '/stream') {
            await profile()(request, response, session);
            return;
          }
          await save(newName());
          servers.primary.link.delay(50);
          await pipeline(Readable.from([piece, piece]), response);
          servers.primary.link.restore();
        }) as never,
      ),
    );
    await pauseAll();
    const name = newName();
    const saved = await answerOf2(url, {
      ':method': 'POST',
      ':path': `/${encodeURIComponent(name)}`,
      'pg-ladder-token': '',
    });
    const [cookie = ''] = saved.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/^pg-ladder=/);
    expect((await answerOf2(url, { cookie: cookie.split(';')[0] ?? '' })).body).toBe(name);
    expect((await answerOf2(url, { 'pg-ladder-token': String(saved.headers['pg-ladder-token']) })).body).toBe(name);
    expect((await answerOf2(url)).body).not.toBe(name);
    const streamed = await answerOf2(url, { ':path': '/stream' });
    expect(streamed.bytes.equals(Buffer.concat([piece, piece]))).toBe(true);
    expect(streamed.headers['set-cookie']).toHaveLength(1);
  });
});
