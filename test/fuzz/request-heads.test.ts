/**
 * Whatever else stands in a request’s head, or in another service’s answer: the token that the library itself has set is found, and the read is no older than that.
 * Nothing fails, nothing takes long, and nothing is kept.
 */
import { type IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpSessions, sessionFetch } from '../../src/http/sessions.js';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { TokenCodec } from '../../src/token/codec.js';
import { open } from '../behaviour/fixture.js';
import { holds, noise, tokenLike, withinASecond } from './hostile.js';

const SECRET = 'a secret of the tests';
const LIFETIME_MILLIS = 24 * 60 * 60_000;

/** Names that are not the cookie’s, however much they look like it. */
const OTHER_NAMES = [
  'a',
  'xpg-ladder',
  'pg-ladderx',
  'PG-LADDER',
  '\u00a0pg-ladder',
  '\u2003__Host-pg-ladder',
  '_Host-pg-ladder',
];

describe.each([
  ['signed', [SECRET]],
  ['unsigned', []],
])('the head of a request, with %s tokens', (_, secrets) => {
  let servers: TestCluster;
  let cluster: Cluster;
  let honest: string;
  let strangers: string[];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets, tokenLifetimeMillis: LIFETIME_MILLIS, waitMillis: 0 });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'old')");
    const old = await cluster.session((session) => session.token());
    await servers.replicas[0]?.waitForReplay();
    await servers.replicas[0]?.pauseReplay();
    await cluster.write("update names set name = 'new' where id = 1");
    honest = await cluster.session((session) => session.token());
    const now = Date.now();
    const position = {
      clusterId: BigInt(`0x${honest.slice(1, 17)}`).toString(),
      timeline: Number.parseInt(honest.slice(17, 25), 16),
      lsn: BigInt(`0x${honest.slice(25, 41)}`),
    };
    const codec = new TokenCodec(secrets, LIFETIME_MILLIS, 2);
    const others = [
      new TokenCodec([], LIFETIME_MILLIS, 2),
      new TokenCodec(['another secret of tests'], LIFETIME_MILLIS, 2),
    ];
    strangers = [
      old,
      codec.encode({ ...position, clusterId: '7' }, now),
      codec.encode({ ...position, lsn: position.lsn + 2n ** 40n }, now),
      codec.encode({ ...position, timeline: 2 ** 32 - 1 }, now),
      codec.encode(position, now - 2 * LIFETIME_MILLIS),
      codec.encode(position, now, 'ada'),
      ...others.map((other) => other.encode(position, now)),
    ];
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });

  const nameNow = async () =>
    (await cluster.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name;
  const readWith = (headers: IncomingHttpHeaders) => {
    const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
    return httpSessions(cluster).runDetached(request, nameNow);
  };

  it('hides no honest token, wherever it stands, and makes none of what is none', async () => {
    const like = tokenLike(strangers);
    const other = fc.oneof(
      fc
        .tuple(fc.constantFrom(...OTHER_NAMES, 'pg-ladder', '__Host-pg-ladder'), like)
        .map(([name, text]) => `${name}=${text}`),
      // Another cookie’s value, in which the name stands.
      fc.tuple(noise, like).map(([text, token]) => `a=${text} pg-ladder=${token}`.replaceAll(';', '')),
      noise,
    );
    const cookies = fc.array(other, { maxLength: 20 });
    const separator = fc.constantFrom('; ', ';', ' ;\t', ';;');
    const place = fc.constantFrom('cookie', 'prefixed', 'quoted', 'header', 'in another cookie', 'nowhere');
    await holds(
      fc.asyncProperty(cookies, cookies, separator, like, place, async (first, last, between, header, where) => {
        // A head has 16 kB, unless somebody has asked for more.
        const own = {
          cookie: `pg-ladder=${honest}`,
          prefixed: `__Host-pg-ladder=${honest}`,
          quoted: `pg-ladder = "${honest}" `,
          header: 'b=1',
          'in another cookie': `b=1 pg-ladder=${honest}`,
          nowhere: 'b=1',
        }[where];
        const headers = {
          cookie: [...first, own, ...last].join(between),
          'pg-ladder-token': where === 'header' ? `${header}, ${honest}` : header,
        };
        const name = await withinASecond(headers, () => readWith(headers));
        // Where it is nowhere, what strangers send may ask for anything but an error.
        if (where !== 'nowhere' && where !== 'in another cookie') expect(name).toBe('new');
        else expect(['old', 'new']).toContain(name);
      }),
      250,
      50_000,
    );
  });

  it('of another service’s answer, or a token by any other door, fails nothing', async () => {
    const anything = fc.oneof(
      { weight: 3, arbitrary: tokenLike(strangers) },
      { weight: 1, arbitrary: fc.anything({ withNullPrototype: true, withBigInt: true, withTypedArray: true }) },
    );
    await holds(
      fc.asyncProperty(anything, anything, async (one, another) => {
        const fetch = sessionFetch(cluster, { origins: ['http://a.internal'] }, (async () => ({
          headers: { get: () => one },
        })) as never);
        await withinASecond([one, another], () =>
          cluster.session(
            async (session) => {
              session.observe(honest);
              session.observe(one as string);
              await fetch('http://a.internal/');
              expect(await nameNow()).toBe('new');
              const atLeast = await cluster.read('select name from names', [], { atLeast: another as string });
              expect(atLeast.rows).toEqual([{ name: 'new' }]);
            },
            { token: another as string, inherit: 'none' },
          ),
        );
      }),
      120,
      50_000,
    );
  });
});
