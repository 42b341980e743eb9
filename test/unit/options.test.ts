import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster, LadderError } from '../../src/index.js';
import { settingsFrom } from '../../src/options.js';

const url = 'postgres://app:s3cret@127.0.0.1:1/shop';

function refusal(options: unknown): LadderError {
  try {
    createCluster(options as Parameters<typeof createCluster>[0]);
  } catch (error) {
    if (error instanceof LadderError) return error;
    throw error;
  }
  throw new Error('the options were accepted');
}

describe('the options of createCluster', () => {
  it.each([
    ['nothing', undefined, /createCluster: options/],
    ['no primary', {}, /primary/],
    ['an empty URL', { primary: '' }, /primary/],
    [
      'a URL from a variable that is not set',
      { primary: { connectionString: undefined } },
      /primary\.connectionString.*undefined.*environment/,
    ],
    ['a URL that pg cannot parse', { primary: 'postgres://a:s3cret@h:notaport/db' }, /primary: expected postgres:/],
    ['an unknown option', { primary: url, wait: 5 }, /wait/],
    ['a negative number', { primary: url, waitMillis: -1 }, /waitMillis/],
    ['not a number', { primary: url, maxLagMillis: '10s' }, /maxLagMillis/],
    ['a number that is none', { primary: url, probeMillis: Number.NaN }, /probeMillis/],
    ['a consistency that does not exist', { primary: url, consistency: 'linearizable' }, /consistency/],
    ['a weight of 0', { primary: url, replicas: [{ connectionString: url, weight: 0 }] }, /replicas\.0/],
    [
      'two nodes of one name',
      { primary: url, replicas: [{ name: 'primary', connectionString: url }] },
      /two nodes are named "primary"/,
    ],
    ['a pool that is none', { primary: { pool: {} } }, /primary\.pool/],
  ])('refuse %s, and name it', (_, options, message) => {
    const error = refusal(options);
    expect(error.code).toBe('LADDER_INVALID_OPTIONS');
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('s3cret');
  });

  it('refuse one pool for two nodes, and an ended one', async () => {
    const pool = new pg.Pool({ connectionString: url });
    expect(refusal({ primary: { pool }, replicas: [{ pool }] }).message).toMatch(/same pool/);
    await pool.end();
    expect(refusal({ primary: { pool } }).message).toMatch(/ended/);
  });

  it('give pg its own options untouched, functions and all', () => {
    const password = () => 'late';
    const ssl = { rejectUnauthorized: true };
    const { primary } = settingsFrom({
      primary: { host: 'h', password, ssl, statement_timeout: 7, max: 3, name: 'main' },
    });
    expect(primary.name).toBe('main');
    expect(primary.pool.options).toMatchObject({ host: 'h', statement_timeout: 7, max: 3 });
    expect(primary.pool.options.ssl).toBe(ssl);
    expect((primary.pool.options as { password?: unknown }).password).toBe(password);
    expect(primary.pool.options).not.toHaveProperty('name');
  });

  it('come back frozen, with every default', () => {
    const settings = settingsFrom({ primary: url, replicas: [url] });
    expect(settings).toMatchObject({
      waitMillis: 50,
      maxLagMillis: 10_000,
      hangMillis: 500,
      probeMillis: 250,
      idleProbeMillis: 1_000,
    });
    expect(settings.replicas[0]).toMatchObject({ name: 'r1', weight: 1, ownsPool: true });
    expect(Object.isFrozen(settings)).toBe(true);
  });
});

describe('an error of the library', () => {
  it('is recognised across copies of the package by its brand, and by its code', () => {
    const foreign = { [Symbol.for('pg-ladder.error')]: true };
    expect(foreign instanceof LadderError).toBe(true);
    expect(new Error('no') instanceof LadderError).toBe(false);
  });
});
