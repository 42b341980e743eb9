import { afterEach, describe, expect, it } from 'vitest';
import type { ChangePosition } from '../../../src/change-source.js';
import { SHARED_STAMP } from '../../../src/changes/definition-stamps.js';
import { DefinitionWatch } from '../../../src/changes/definition-watch.js';

/** A replica that answers from a script: where it stands, question by question, and its stamps. */
class Replica {
  lsn: bigint | undefined;
  isEjected = false;
  server = 'c@1';
  positions: (bigint | undefined)[] = [];
  shared = 'roles';
  local = 'tables';
  isTold = true;
  localBytes = 4_000_000;
  tookMillis = 0.1;
  isSilent = false;
  observedCount = 0;
  /** Called when the catalogue is looked at. */
  onLook = (): void => undefined;
  readonly asked: string[] = [];

  constructor(lsn: bigint) {
    this.lsn = lsn;
  }

  get observation() {
    return this.lsn === undefined ? undefined : { identity: { server: this.server } };
  }

  readonly probe = {
    observe: async (): Promise<void> => {
      this.observedCount++;
      if (this.isSilent) throw new Error('no answer');
      if (this.positions.length > 0) this.lsn = this.positions.shift();
    },
  };

  readonly adminQueries = {
    look: async (text: string) => {
      const isShared = text === SHARED_STAMP;
      this.asked.push(isShared ? 'shared' : 'local');
      const { server } = this;
      const stamp = isShared ? this.shared : this.local;
      this.onLook();
      const row = {
        stamp,
        is_told: this.isTold,
        local_bytes: String(this.localBytes),
        took_millis: String(this.tookMillis),
      };
      return { rows: [row], identity: { server, version: 180_000 } };
    },
  };
}

const history = { epoch: 1, timelines: { timeline: 1 } };
const opened: DefinitionWatch[] = [];
afterEach(() => {
  for (const watch of opened.splice(0)) watch.close();
  history.epoch = 1;
});

function watching(replicas: Replica[], depth: 'all' | 'shared' = 'all', eventTriggers: readonly string[] = []) {
  const changes: ChangePosition[] = [];
  const fleet = { history, replicas, settings: { hangMillis: 500 } };
  const listener = { changed: (position: ChangePosition) => void changes.push(position) };
  const watch = new DefinitionWatch(fleet as never, listener, depth, eventTriggers);
  opened.push(watch);
  /** Wants to know until it does. */
  const until = async (holds: () => boolean): Promise<void> => {
    const wants = (): boolean => {
      watch.want();
      return holds();
    };
    await expect.poll(wants, { interval: 5 }).toBe(true);
  };
  return { watch, changes, until };
}

describe('a watch of definitions', () => {
  it('knows up to the position before a look, and tells a change at the one after it', async () => {
    const replica = new Replica(0n);
    const { watch, changes, until } = watching([replica]);
    replica.positions = [100n, 120n];
    await until(() => watch.unchangedThrough === 100n);
    expect(changes).toEqual([{ timeline: 1, lsn: 120n }]);
    replica.positions = [200n, 230n];
    await until(() => watch.unchangedThrough === 200n);
    expect(changes).toHaveLength(1);
    replica.local = 'other tables';
    replica.positions = [300n, 340n];
    await until(() => watch.unchangedThrough === 300n);
    expect(changes.slice(1)).toEqual([{ timeline: 1, lsn: 340n }]);
  });

  it('asks nothing of the catalogue where the log stands still', async () => {
    const replica = new Replica(100n);
    const { watch, until } = watching([replica]);
    await until(() => watch.unchangedThrough === 100n);
    const { length } = replica.asked;
    const observed = replica.observedCount;
    await until(() => replica.observedCount >= observed + 3);
    expect(replica.asked).toHaveLength(length);
  });

  it.each([
    ['the replica is another server after the look', (replica: Replica) => (replica.server = 'c@2')],
    ['the replica follows nobody after the look', (replica: Replica) => (replica.positions = [undefined])],
    ['the primary has another history after the look', () => (history.epoch = 2)],
  ])('learns nothing where %s', async (_what, meddle) => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica]);
    replica.onLook = () => void meddle(replica);
    await until(() => watch.problem !== undefined);
    expect([watch.unchangedThrough, changes, watch.stats().lookCount]).toEqual([undefined, [], 0]);
  });

  it('knows nothing of another history, and begins anew in it', async () => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica]);
    await until(() => watch.unchangedThrough === 100n);
    history.epoch = 2;
    expect(watch.unchangedThrough).toBeUndefined();
    // In another history the same numbers of transactions may stand for others.
    await until(() => watch.unchangedThrough === 100n);
    expect(changes).toHaveLength(2);
  });

  it('goes by the replica that has replayed most, and learns nothing of one that lags behind', async () => {
    const [one, other] = [new Replica(100n), new Replica(90n)];
    const { watch, changes, until } = watching([one, other]);
    await until(() => watch.unchangedThrough === 100n);
    expect(other.asked).toEqual([]);
    one.lsn = undefined;
    // It has not replayed yet what the other has shown.
    other.local = 'tables of before';
    const observed = other.observedCount;
    await until(() => other.observedCount >= observed + 2);
    expect([watch.unchangedThrough, changes.length]).toEqual([100n, 1]);
    other.local = 'tables';
    other.positions = [150n, 150n];
    await until(() => watch.unchangedThrough === 150n);
    expect(changes).toHaveLength(1);
    other.isEjected = true;
    await until(() => watch.problem === 'no replica is known to follow the primary');
    // What was known is still true.
    expect(watch.unchangedThrough).toBe(150n);
  });

  it('looks at the rest once where a source tells of it, and always while an event trigger is missing', async () => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica], 'shared', ['t']);
    await until(() => watch.stamp === 'tables');
    // What is told is not looked for.
    expect(watch.unchangedThrough).toBe(2n ** 64n - 1n);
    replica.positions = [200n, 210n];
    await until(() => watch.stats().lookCount === 2);
    expect(replica.asked).toEqual(['shared', 'local', 'shared']);
    replica.isTold = false;
    replica.positions = [300n, 310n];
    await until(() => watch.unchangedThrough === 300n);
    expect(replica.asked.slice(3)).toEqual(['shared', 'local']);
    expect(changes).toHaveLength(1);
  });

  it('names no definitions after a change was told, until a replica that has replayed it was looked at', async () => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica], 'shared');
    await until(() => watch.stamp === 'tables');
    watch.told(250n);
    expect(watch.stamp).toBeUndefined();
    replica.positions = [200n, 210n];
    await until(() => watch.stats().lookCount === 2);
    expect(watch.stamp).toBeUndefined();
    replica.local = 'other tables';
    replica.positions = [300n, 310n];
    await until(() => watch.stamp === 'other tables');
    expect(changes.map(({ lsn }) => lsn)).toEqual([100n, 310n]);
  });

  it('knows no further than it has looked where the latest look is old, whatever is told', async () => {
    const replica = new Replica(100n);
    const { watch, until } = watching([replica], 'shared');
    await until(() => watch.stamp === 'tables');
    replica.isSilent = true;
    await until(() => watch.unchangedThrough === 100n);
  });

  it('does not take a look for more than it was, when more is wanted meanwhile', async () => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica], 'shared');
    replica.onLook = () => {
      if (replica.asked.length === 1) watch.depth = 'all';
    };
    await until(() => watch.unchangedThrough === 100n);
    expect(replica.asked).toEqual(['shared', 'local', 'shared', 'local']);
    expect(changes).toHaveLength(1);
  });

  it('begins anew when it is to look at more', async () => {
    const replica = new Replica(100n);
    const { watch, changes, until } = watching([replica], 'shared');
    await until(() => watch.stamp === 'tables');
    watch.depth = 'all';
    expect([watch.unchangedThrough, watch.stamp]).toEqual([undefined, undefined]);
    await until(() => watch.unchangedThrough === 100n);
    expect(changes).toHaveLength(2);
  });

  it('takes no more than a fiftieth of a backend, by the shortest of the last looks', async () => {
    const replica = new Replica(100n);
    const { watch, until } = watching([replica]);
    replica.tookMillis = 20;
    await until(() => watch.stats().lookCount === 1);
    // Two statements were asked.
    expect(watch.stats()).toMatchObject({ costMillis: 40, intervalMillis: 2_000 });
  });

  it('leaves a catalogue alone that would keep the server too busy to answer, and knows nothing then', async () => {
    const replica = new Replica(100n);
    const { watch, until } = watching([replica]);
    await until(() => watch.unchangedThrough === 100n);
    replica.localBytes = 4_000_000_000;
    replica.positions = [200n];
    await until(() => watch.problem === 'the catalogue is too large to be looked at');
    expect(watch.unchangedThrough).toBeUndefined();
  });

  it('says so when the replica does not answer, or answers what is no stamp', async () => {
    const replica = new Replica(100n);
    const { watch, until } = watching([replica]);
    replica.isSilent = true;
    await until(() => watch.problem === 'the replica gave no answer');
    replica.isSilent = false;
    replica.local = '';
    await until(() => watch.problem === 'its answer makes no sense: the stamp of the catalogue is none');
    replica.local = 'tables';
    await until(() => watch.unchangedThrough === 100n);
    expect(watch.problem).toBeUndefined();
  });
});
