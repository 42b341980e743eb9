/**
 * Whatever a relay loses, repeats or delays, and whoever has led before: a follower never tells that it has reached a
 * position of which it has not told every change.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_RELAY_MESSAGE_LENGTH } from '../../../src/change-relay.js';
import type { ChangeStart, TableChange } from '../../../src/change-source.js';
import { decodeRelayMessage, type RelayMessage } from '../../../src/changes/relay-message.js';
import { RelayReader } from '../../../src/changes/relay-reader.js';
import { RelayWriter } from '../../../src/changes/relay-writer.js';

const STREAM = '1/2';
const start = (lsn: number, timeline = 1): ChangeStart => ({
  timeline,
  lsn: BigInt(lsn),
  tables: ['t', 'u'],
  tellsDefinitions: true,
});
const keyed = (key: number, table = 't'): TableChange => ({ table, keyColumns: ['id'], keys: [[String(key)]] });
const read = (text: string): RelayMessage => decodeRelayMessage(text) as RelayMessage;
const take = (writer: RelayWriter, isComplete = false, end?: 'broken' | 'left') =>
  read(writer.take(STREAM, isComplete, end));

/** What a handler was told, one after the other. */
function recorder() {
  const told: string[] = [];
  return {
    told,
    began: ({ timeline, lsn }: ChangeStart) => void told.push(`began ${timeline}/${lsn}`),
    changed: (changes: readonly TableChange[] | 'all', lsn: bigint) =>
      void told.push(
        `${lsn}: ${changes === 'all' ? 'all' : changes.map(({ table, keys }) => table + (keys ?? '')).join()}`,
      ),
    reached: (lsn: bigint) => void told.push(`reached ${lsn}`),
    broken: () => void told.push('broken'),
  };
}

describe('a follower', () => {
  it('tells what the leader tells', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const writer = new RelayWriter(start(10), 'a');
    reader.hear(take(writer, true), false);
    writer.changed([keyed(1)], 20n);
    writer.changed([keyed(2), { table: 'u' }], 30n);
    writer.reached(30n);
    writer.changed('all', 40n);
    reader.hear(take(writer), false);
    writer.reached(45n);
    reader.hear(take(writer), false);
    expect(handler.told).toEqual(['began 1/10', '20: t1', '30: t2,u', '40: all', 'reached 30', 'reached 45']);
  });

  it('that comes later begins behind what was told before, with the next message that names the tables', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const writer = new RelayWriter(start(10), 'a');
    take(writer, true);
    writer.changed([keyed(1)], 20n);
    take(writer);
    writer.reached(20n);
    writer.changed([keyed(2)], 30n);
    writer.reached(30n);
    expect(reader.hear(take(writer), false)).toBe('heard');
    expect(handler.told).toEqual([]);
    writer.changed([keyed(3)], 40n);
    writer.reached(40n);
    reader.hear(take(writer, true), false);
    expect(handler.told).toEqual(['began 1/30', '40: t3', 'reached 40']);
  });

  it('does not begin before a change that was told already, though nobody has reached it', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const writer = new RelayWriter(start(10), 'a');
    writer.changed([keyed(1)], 20n);
    take(writer);
    writer.reached(15n);
    reader.hear(take(writer, true), false);
    writer.reached(25n);
    reader.hear(take(writer), false);
    expect(handler.told).toEqual(['began 1/20', 'reached 25']);
  });

  it('begins anew after a gap, and takes nothing twice', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const writer = new RelayWriter(start(10), 'a');
    const [first, second, third, fourth] = [20n, 30n, 40n, 50n].map((lsn, i) => {
      writer.changed([keyed(i)], lsn);
      writer.reached(lsn);
      return take(writer, i === 0);
    });
    for (const message of [first, first, third, second, fourth]) reader.hear(message as RelayMessage, false);
    expect(handler.told).toEqual(
      'began 1/10,20: t0,reached 20,broken,began 1/30,40: t2,reached 40,50: t3,reached 50'.split(','),
    );
    expect(reader.counts).toEqual({ staleCount: 0, repeatedCount: 2, gapCount: 1 });
  });

  it('follows the newer of two leaders, and drops what the older one says when it wakes up', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const [older, newer] = [new RelayWriter(start(10), 'z'), new RelayWriter(start(20), 'a')];
    reader.hear(take(older, true), false);
    reader.hear(take(newer, true), false);
    older.reached(15n);
    expect(reader.hear(take(older, true), false)).toBe('stale');
    expect(reader.hear(take(older, true, 'broken'), true)).toBe('stale');
    newer.reached(25n);
    reader.hear(take(newer), false);
    expect(handler.told).toEqual(['began 1/10', 'broken', 'began 1/20', 'reached 25']);
  });

  it('never goes back to an older timeline, however long the present leader was silent', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    reader.hear(take(new RelayWriter(start(10, 2), 'a'), true), false);
    expect(reader.hear(take(new RelayWriter(start(99, 1), 'b'), true), true)).toBe('stale');
    expect(reader.hear(take(new RelayWriter(start(5, 2), 'c'), true), false)).toBe('stale');
    expect(reader.hear(take(new RelayWriter(start(5, 2), 'd'), true), true)).toBe('heard');
    expect(handler.told).toEqual(['began 2/10', 'broken', 'began 2/5']);
  });

  it('tells nothing more when the leader has lost the log', () => {
    const handler = recorder();
    const reader = new RelayReader(handler);
    const writer = new RelayWriter(start(10), 'a');
    reader.hear(take(writer, true), false);
    expect(reader.hear(take(writer, false, 'broken'), false)).toBe('broken');
    expect(reader.hear(take(writer, true), false)).toBe('stale');
    reader.hear(take(new RelayWriter(start(10), 'b'), true), false);
    expect(handler.told).toEqual(['began 1/10', 'broken', 'began 1/10']);
  });
});

describe('a leader', () => {
  it('tells a commit of very many keys as one of whole tables', () => {
    const writer = new RelayWriter(start(0), 'a');
    for (let key = 0; key < 100_000; key++) writer.changed([keyed(key), keyed(0, 'u')], 10n);
    writer.changed([keyed(1)], 20n);
    const { commits } = take(writer);
    expect(commits).toHaveLength(2);
    const [first, second] = commits;
    for (const table of ['t', 'u']) expect(first?.changes).toContainEqual({ table });
    expect(first?.changes.length).toBeLessThan(2_100);
    expect(second?.changes).toEqual([keyed(1)]);
  });

  it('tells a commit of long keys as one of a whole table', () => {
    const writer = new RelayWriter(start(0), 'a');
    writer.changed([{ table: 't', keyColumns: ['id'], keys: [['x'.repeat(100_000)]] }], 10n);
    expect(take(writer).commits).toEqual([{ lsn: 10n, changes: [{ table: 't' }] }]);
  });

  it('never makes a message that is too long', () => {
    const writer = new RelayWriter(start(0), 'a');
    for (let i = 1; i < 2_000; i++) writer.changed([{ table: '\u0001'.repeat(500) + i }], BigInt(i));
    expect(writer.isFull).toBe(true);
    const text = writer.take(STREAM, true);
    expect(text.length).toBeLessThan(MAX_RELAY_MESSAGE_LENGTH);
    expect(read(text).commits).toEqual([{ lsn: 1_999n, changes: 'all' }]);
  });
});

/** The log of a primary: at each position the keys that a commit has changed. */
interface Commit {
  readonly end: number;
  readonly keys: readonly number[];
}

const steps = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: fc.record({ kind: fc.constant('commit' as const), keys: fc.array(fc.nat(4)) }) },
    { weight: 10, arbitrary: fc.record({ kind: fc.constant('send' as const), isComplete: fc.boolean() }) },
    { weight: 10, arbitrary: fc.record({ kind: fc.constantFrom('deliver' as const, 'repeat' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('lose' as const, 'delay' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('lead' as const), isSilent: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('wake' as const), isSilent: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('break' as const, 'stop' as const) }) },
  ),
  { minLength: 50, maxLength: 200, size: 'max' },
);

describe('a follower of a relay that loses, repeats and delays', () => {
  it('has told every change up to where it says that it has', () => {
    let reachedCount = 0;
    fc.assert(
      fc.property(steps, (played) => {
        const log: Commit[] = [];
        let end = 10;
        let leaderCount = 0;
        const lead = () => new RelayWriter(start(end), String(leaderCount++));
        /** Leaders that were frozen: they may still send what they had read. */
        const frozen: RelayWriter[] = [];
        let leader = lead();
        let queue: RelayMessage[] = [];
        let delayed: RelayMessage[] = [];
        let last: RelayMessage | undefined;

        let begun = Number.NaN;
        const told: { key: string; lsn: number }[] = [];
        const reader = new RelayReader({
          began: ({ lsn }) => {
            begun = Number(lsn);
            told.length = 0;
          },
          changed: (changes, lsn) => {
            expect(begun).not.toBeNaN();
            if (changes === 'all') throw new Error('nobody has told that');
            for (const { keys = [] } of changes) for (const [key = ''] of keys) told.push({ key, lsn: Number(lsn) });
          },
          reached: (lsn) => {
            reachedCount++;
            expect(begun).not.toBeNaN();
            for (const commit of log) {
              if (commit.end <= begun || commit.end > Number(lsn)) continue;
              for (const key of commit.keys) expect(told).toContainEqual({ key: String(key), lsn: commit.end });
            }
          },
          broken: () => {
            begun = Number.NaN;
          },
        });
        const deliver = (message: RelayMessage | undefined, isSilent = false) => {
          if (message !== undefined) reader.hear(message, isSilent);
          last = message;
        };

        for (const step of played) {
          if (step.kind === 'commit') {
            end += 10;
            log.push({ end, keys: step.keys });
            for (const key of step.keys) leader.changed([keyed(key)], BigInt(end));
            if (step.keys.length !== 1) leader.reached(BigInt(end));
          } else if (step.kind === 'send') queue.push(take(leader, step.isComplete));
          else if (step.kind === 'deliver') deliver(queue.shift());
          else if (step.kind === 'repeat') deliver(last);
          else if (step.kind === 'lose') queue.shift();
          else if (step.kind === 'delay') {
            delayed.push(...queue);
            queue = [];
          } else if (step.kind === 'lead') {
            frozen.push(leader);
            leader = lead();
            deliver(take(leader, true), step.isSilent);
          } else if (step.kind === 'wake') {
            for (const message of delayed.concat(frozen.map((one) => take(one, true)))) deliver(message, step.isSilent);
            delayed = [];
          } else if (step.kind === 'break') {
            queue.push(take(leader, false, 'broken'));
            leader = lead();
          } else reader.stop('silence');
        }
      }),
      { numRuns: process.env['SOAK'] === '1' ? 20_000 : 500 },
    );
    expect(reachedCount).toBeGreaterThan(1_000);
  });
});
