import { EventEmitter } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { CallingContext } from '../../../src/async-context.js';
import { performance } from '../../../src/clock.js';
import { TransactionWatch } from '../../../src/isolation/transaction-watch.js';
import type { WatchedConnection } from '../../../src/isolation/watched-connection.js';
import type { TransactionLimits } from '../../../src/options/cluster.js';
import { Publisher } from '../../../src/publisher.js';

const LATER = 3_600_000;
const HOUR = 3_000_000;

let watch: TransactionWatch;
afterEach(() => watch.close());

/** A connection whose server is played: `answered` is its ReadyForQuery. */
function connection(limits: Partial<TransactionLimits>) {
  watch = new TransactionWatch(
    { idleMillis: undefined, maxMillis: undefined, ends: true, ...limits },
    new Publisher('x'),
  );
  const wire = new EventEmitter();
  const client = { connection: wire, readyForQuery: true };
  const ended: string[] = [];
  const holding = { client, node: 'r1', end: (expiry: () => Error) => ended.push(expiry().message) };
  const watched = watch.follow(holding, false) as WatchedConnection;
  const send = (text: string | undefined): void => {
    client.readyForQuery = false;
    watched.sends(text, new CallingContext());
  };
  const answered = (status: 'I' | 'T' | 'E'): void => {
    client.readyForQuery = true;
    wire.emit('readyForQuery', { status });
  };
  const look = (): void => watched.look(performance.now() + LATER);
  return { wire, watched, ended, send, answered, look };
}

describe('a connection whose transactions are watched', () => {
  it.each<['idle' | 'long', Partial<TransactionLimits>, RegExp]>([
    ['idle', { idleMillis: HOUR }, /idleInTransactionMillis: 3000000/],
    ['long', { maxMillis: HOUR }, /maxTransactionMillis: 3000000/],
  ])('is ended once when it is %s in a transaction, and never outside one', (_, limits, message) => {
    const { ended, send, answered, look } = connection(limits);
    look();
    send('begin');
    answered('T');
    expect(watch.stats.open).toBe(1);
    look();
    look();
    expect(ended).toEqual([expect.stringMatching(message)]);
    expect(watch.stats).toMatchObject({ open: 0, endedCount: 1 });
  });

  it.each([
    ['commit', 'I'],
    ['rollback', 'I'],
    ['commit and chain', 'T'],
    ['commit; begin', 'T'],
  ] as const)('begins anew with %s', (text, status) => {
    const { watched, send, answered } = connection({ maxMillis: 1 });
    send('begin');
    answered('T');
    const at = performance.now();
    while (performance.now() - at < 5);
    send(text);
    answered(status);
    expect(watched.dueAt(performance.now())).toBeGreaterThan(at + 5);
    expect(watch.stats.open).toBe(status === 'T' ? 1 : 0);
  });

  it('is as idle in a transaction that has failed', () => {
    const { ended, send, answered, look } = connection({ idleMillis: HOUR });
    send('begin; select 1 / 0');
    answered('E');
    look();
    expect(ended).toHaveLength(1);
  });

  it('is not idle while a statement runs', () => {
    const { ended, send, answered, look } = connection({ idleMillis: HOUR });
    send('begin');
    answered('T');
    send('select 1');
    look();
    expect(ended).toEqual([]);
  });

  it.each([
    ['what only reads', 'select 1', 1],
    ['a COMMIT', 'commit', 0],
    ['a COMMIT behind something else', 'insert into a values (1); commit', 0],
    ['a statement that is known by its name alone', undefined, 0],
  ])('that is open for too long is cut off under %s: %s', (_, text, count) => {
    const { ended, send, answered, look } = connection({ maxMillis: HOUR });
    send('begin');
    answered('T');
    send(text);
    look();
    expect(ended).toHaveLength(count);
    // It is told in any case.
    expect(watch.stats.longCount).toBe(1);
  });

  it('is told of once where nothing is ended, until its next transaction', () => {
    const { ended, send, answered, look } = connection({ idleMillis: HOUR, ends: false });
    for (const count of [1, 2]) {
      send('begin');
      answered('T');
      look();
      look();
      expect(watch.stats).toMatchObject({ idleCount: count, endedCount: 0 });
      send('commit');
      answered('I');
    }
    expect(ended).toEqual([]);
  });

  it('leaves no listener behind when it ends, is given back, or the cluster is closed', () => {
    for (const leave of [
      ({ wire }: { wire: EventEmitter }) => wire.emit('end'),
      ({ watched }: { watched: WatchedConnection }) => watched.stop(),
      () => watch.close(),
    ]) {
      const given = connection({ idleMillis: HOUR });
      given.send('begin');
      given.answered('T');
      expect(given.wire.listenerCount('readyForQuery')).toBe(1);
      leave(given);
      expect(given.wire.eventNames()).toEqual([]);
      expect(watch.stats.open).toBe(0);
    }
    const client = { connection: new EventEmitter() };
    expect(watch.follow({ client, node: 'r1', end: () => undefined }, true)).toBeUndefined();
  });
});
