/** What the tests of sources of changes share: a fleet of ours, and what a source has told. */
import type {
  ChangeHandler,
  ChangeSource,
  ChangeStart,
  ChangeSubscription,
  TableChange,
} from '../../../src/change-source.js';
import { Fleet } from '../../../src/nodes/fleet.js';
import { settingsFrom } from '../../../src/options/cluster.js';
import { Publisher } from '../../../src/publisher.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { until } from '../fixture.js';

/** Knows the servers, as a cluster of ours does. */
export async function fleetOver({ primary, replicas }: Pick<TestCluster, 'primary' | 'replicas'>): Promise<Fleet> {
  const settings = settingsFrom({
    primary: primary.connectionString,
    replicas: replicas.map(({ name, connectionString }) => ({ name, connectionString })),
  });
  const fleet = new Fleet(settings, new Publisher('shop'));
  fleet.start();
  await until('the primary is known', () => fleet.leadership.isSettled);
  return fleet;
}

export type Told = ChangeStart | { readonly changes: readonly TableChange[] | 'all'; readonly lsn: bigint } | string;

/** Keeps what a source tells. */
export class SourceLog implements ChangeHandler {
  readonly told: Told[] = [];
  readonly subscription: ChangeSubscription;
  start: ChangeStart | undefined;
  reachedLsn = 0n;
  beginCount = 0;

  constructor(source: ChangeSource) {
    this.subscription = source.subscribe(this);
  }

  began(start: ChangeStart): void {
    this.told.push(start);
    this.start = start;
    this.reachedLsn = start.lsn;
    this.beginCount++;
  }

  changed(changes: readonly TableChange[] | 'all', lsn: bigint): void {
    this.told.push({ changes, lsn });
  }

  reached(lsn: bigint): void {
    if (lsn <= this.reachedLsn) throw new Error('it went back');
    this.reachedLsn = lsn;
  }

  broken(reason: string): void {
    this.told.push(reason);
    this.start = undefined;
  }

  get reasons(): string[] {
    return this.told.filter((one) => typeof one === 'string');
  }

  /** Changes so far, the keys as texts; forgets them. */
  take(): unknown[] {
    return this.told.splice(0).flatMap((one) => {
      if (typeof one === 'string') return [one];
      if (!('changes' in one)) return [];
      if (one.changes === 'all') return ['all'];
      return one.changes.map(({ table, keyColumns, keys }) =>
        keys === undefined ? table : `${table}(${keyColumns?.join()}) ${keys.map((key) => key.join('/')).join(' ')}`,
      );
    });
  }

  async hasBegun(): Promise<ChangeStart> {
    await until(`the source has begun (${this.reasons.at(-1)})`, () => this.start !== undefined);
    return this.start as ChangeStart;
  }

  async hasReached(lsn: bigint): Promise<void> {
    await until('all is told', () => this.start !== undefined && this.reachedLsn >= lsn);
  }
}
