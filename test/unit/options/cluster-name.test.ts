// The name of a cluster: which ones are refused, and what its database's name becomes.
import pg from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type ClusterOptions, settingsFrom } from '../../../src/options/cluster.js';
import { nameFor } from '../../../src/options/cluster-name.js';

const identityOf = (options: string | ClusterOptions) => settingsFrom(options).identity;
const nameOf = (primary: ClusterOptions['primary']) => identityOf({ primary } as ClusterOptions).name;

afterEach(() => vi.unstubAllEnvs());

describe('the name of a cluster', () => {
  it('is the one that it was given', () => {
    const given = identityOf({ primary: 'postgres://h/shop', name: 'Main.shop_2-b' });
    expect(given).toMatchObject({ name: 'Main.shop_2-b', isGiven: true });
    expect(identityOf({ primary: 'postgres://h/shop', name: 'x'.repeat(64) }).name).toHaveLength(64);
    expect(settingsFrom('postgres://h1,h2/shop', { name: 'main' }).identity.name).toBe('main');
  });

  it.each([['empty', ''], ['a b'], ['a;b'], ['schön'], ['a\n'], ['x'.repeat(65)], ['postgres://u:s3cret@h/db'], [7]])(
    'is refused when it is %j, without a word of it',
    (...[told, name = told]) => {
      const options = { primary: 'postgres://h/shop', name } as ClusterOptions;
      const refused = 'createCluster: name: ';
      expect(() => settingsFrom(options)).toThrow(refused);
      if (typeof name === 'string' && name.length > 3) expect(() => settingsFrom(options)).not.toThrow(name);
    },
  );

  it('is else its database’s, as pg finds it: in the address, the options, a pool, or the environment', () => {
    vi.stubEnv('PGDATABASE', '');
    expect(nameOf('postgres://app:s3cret@h:1/shop')).toBe('shop');
    expect(identityOf('postgres://app@h1,h2:2/shop?sslmode=disable')).toMatchObject({
      name: 'shop',
      isGiven: false,
      places: ['h1:5432/shop', 'h2:2/shop'],
    });
    expect(nameOf({ host: 'h', database: 'shop' })).toBe('shop');
    expect(nameOf({ pool: new pg.Pool({ connectionString: 'postgres://h/shop' }) })).toBe('shop');
    expect(nameOf({ host: 'h', user: 'app' })).toBe('app');
    vi.stubEnv('PGDATABASE', 'orders');
    expect(nameOf({ host: 'h', user: 'app' })).toBe('orders');
    expect(nameOf('postgres://h/')).toBe('orders');
  });

  it.each([
    ['my shop', 'my_shop'],
    ['bücher', 'b_cher'],
    ['😀', '_'],
    ['a;b"c', 'a_b_c'],
    ['x'.repeat(70), 'x'.repeat(64)],
    ['', 'cluster'],
    [undefined, 'cluster'],
  ])('has "_" for what a name may not hold: %j becomes %j', (database, name) => {
    expect(nameFor(database)).toBe(name);
  });

  it.each(['postgres://u:s3cret@h/db', 'u:s3cret@h/db', 'host=h password=s3cret'])(
    'never shows an address that was given for the database’s name: %j',
    (database) => {
      expect(nameOf({ host: 'h', database })).toBe('cluster');
    },
  );

  it('is asked of no pool that does not say, and opens no stream', () => {
    const silent = { connect: () => undefined, on: () => undefined } as unknown as pg.Pool;
    expect(identityOf({ primary: { pool: silent } })).toMatchObject({ name: 'cluster', places: undefined });
    const stream = vi.fn();
    const streamed = identityOf({ primary: { database: 'shop', stream } });
    expect(streamed).toMatchObject({ name: 'shop', places: undefined });
    expect(stream).not.toHaveBeenCalled();
  });
});
