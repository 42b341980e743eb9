/**
 * Hears changes and keeps account of them, so that kept answers stay current: a source tells what
 * has changed, the catalogue is watched for definitions, and the ledger says what follows. It keeps
 * no answers, and without it caches are right, too: they only know less.
 */
import type {
  ChangeHandler,
  ChangePosition,
  ChangeSource,
  ChangeStart,
  ChangeSubscription,
  TableChange,
} from '../change-source.js';
import { clearInterval, performance, setInterval } from '../clock.js';
import { formatLsn, type Lsn } from '../freshness/lsn.js';
import type { Fleet } from '../nodes/fleet.js';
import type { ChangesSettings } from '../options/changes.js';
import type { Publisher } from '../publisher.js';
import type { Classifier } from '../statements/classifier.js';
import type { ChangeStats } from './change-stats.js';
import { localStamp } from './definition-stamps.js';
import { DefinitionWatch } from './definition-watch.js';
import { Dependence, type TableDependence } from './dependence.js';
import { ChangeLedger, type Definitions } from './ledger.js';
import { DEFINITION_TRIGGERS } from './names.js';
import { Standstill } from './standstill.js';

/** Whether the watermark stands still is looked at that often, and told after so long. */
const [LOOK_MILLIS, STILL_MILLIS] = [1_000, 5_000];
const UNKNOWN = 'the primary reads a large transaction, or this process is busy';

/** Wants to know at once. Its methods never throw. */
export interface ChangeListener {
  /** A commit has changed these; `'all'`: anything may be different, definitions included. */
  changed(changes: readonly TableChange[] | 'all', position: ChangePosition): void;
  /** All commits behind that position are told from now on: what came before it may have been missed. */
  began(position: ChangePosition): void;
}

/** What it stands on. */
export interface ChangesGround {
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly publisher: Publisher;
}

export class Changes {
  readonly #settings: ChangesSettings;
  readonly #ground: ChangesGround;
  readonly #ledger: ChangeLedger;
  readonly #watch: DefinitionWatch;
  #source: ChangeSource | undefined;
  #subscription: ChangeSubscription | undefined;
  #state: ChangeStats['state'] = 'starting';
  #reason: string | undefined;
  #warnedOf: string | undefined;
  #commitCount = 0;
  #beginCount = 0;
  readonly #standstill = new Standstill();
  #stillMillis = 0;
  /** Why the watermark stands still, once it has for long. */
  #stillness: string | undefined;
  #looking: NodeJS.Timeout | undefined;
  readonly #listeners = new Set<ChangeListener>();
  /** Tables that have changed beyond the latest position that was told. */
  readonly #untold = new Set<string>();

  constructor(settings: ChangesSettings, ground: ChangesGround) {
    this.#settings = settings;
    this.#ground = ground;
    const triggers = typeof settings.source === 'object' && 'subscribe' in settings.source ? [] : DEFINITION_TRIGGERS;
    this.#watch = new DefinitionWatch(ground.fleet, { changed: ({ lsn }) => this.#redefined(lsn) }, 'all', triggers);
    this.#ledger = new ChangeLedger(settings.keysPerTable, this.#watch);
  }

  /** How far definitions are known to have held. */
  get definitions(): Definitions {
    return this.#watch;
  }

  /** Those that are told at once; whoever is in it takes itself out. */
  get listeners(): Set<ChangeListener> {
    return this.#listeners;
  }

  /** Why changes of that table are not heard, in words; `undefined` where they are. @param table may lack its schema */
  deafnessTo(table: string): string | undefined {
    if (this.#state !== 'current') return this.#reason ?? 'changes are not heard yet';
    return this.#ledger.recordsOf(table).length > 0 ? undefined : `changes of ${table} are not told`;
  }

  start(source: ChangeSource): void {
    const handler: ChangeHandler = {
      began: (start) => this.#began(start),
      changed: (changes, lsn) => this.#changed(changes, lsn),
      reached: (lsn) => this.#reached(lsn),
      broken: (reason) => this.#broken(reason),
    };
    this.#source = source;
    this.#looking = setInterval(() => this.#look(), LOOK_MILLIS);
    this.#looking.unref();
    try {
      this.#subscription = source.subscribe(handler);
    } catch {
      // It may say anything, secrets included.
      this.#broken('the source has thrown an error');
    }
  }

  /**
   * What an answer depends on; `undefined` where it is not known by which definitions that was found.
   * @param generation of the catalogue by which it was found
   */
  dependence(tables: readonly TableDependence[], generation: number): Dependence | undefined {
    const { catalog } = this.#ground.classifier;
    this.#refreshDefinitions();
    if (catalog.generation !== generation || catalog.stamp === undefined) return undefined;
    return new Dependence(this.#ledger, tables, catalog.stamp);
  }

  /** How many commits are known to have changed a table since it began; `undefined` where it does not hear of it. */
  changeCountOf(table: string): number | undefined {
    const records = this.#ledger.recordsOf(table);
    return records.length === 0 ? undefined : records.reduce((sum, { changeCount }) => sum + changeCount, 0);
  }

  /** The last change that was told of any of these; `undefined` while that says nothing, and for none. */
  lastChange(tables: readonly TableDependence[]): ChangePosition | undefined {
    const { start } = this.#ledger;
    if (start === undefined) return undefined;
    const lsn = new Dependence(this.#ledger, tables, '').lastChange(start.timeline);
    return lsn === undefined || lsn === 0n ? undefined : { timeline: start.timeline, lsn };
  }

  /** @returns whether texts are judged by the definitions that a replica shows */
  #refreshDefinitions(): boolean {
    const { catalog } = this.#ground.classifier;
    const { stamp } = this.#watch;
    this.#watch.want();
    // What was loaded a moment ago may lack what a replica shows by now.
    const isOther = catalog.stamp === undefined || (stamp !== undefined && catalog.stamp !== stamp);
    if (isOther) catalog.reloadWhole(performance.now());
    return stamp !== undefined && !isOther;
  }

  stats(): ChangeStats {
    const { start, watermark, keyCount } = this.#ledger;
    const freshAsOf =
      start === undefined ? Number.NEGATIVE_INFINITY : this.#ground.fleet.history.clock.freshAsOf(watermark);
    return Object.freeze({
      state: this.#state,
      problem:
        this.#reason ??
        this.#stillness ??
        (this.#watch.unchangedThrough === undefined ? this.#watch.problem : undefined),
      position: start === undefined ? undefined : { timeline: start.timeline, lsn: formatLsn(watermark) },
      delayMillis: Number.isFinite(freshAsOf) ? performance.now() - freshAsOf : undefined,
      stillMillis: this.#stillMillis,
      tables: Object.freeze([...(start?.tables ?? [])]),
      areDefinitionsKnown: this.#refreshDefinitions(),
      keyCount,
      commitCount: this.#commitCount,
      beginCount: this.#beginCount,
    });
  }

  /** Stamps the definitions of a server. */
  get stampQuery(): string | undefined {
    const version = this.#ground.fleet.primary.observation?.identity.version;
    return version === undefined ? undefined : localStamp(version);
  }

  async close(): Promise<void> {
    clearInterval(this.#looking);
    this.#watch.close();
    this.#ledger.broken();
    await this.#subscription?.close();
  }

  #began(start: ChangeStart): void {
    const { tables: wanted } = this.#settings;
    const isWanted = (table: string): boolean => wanted?.some((name) => isNamed(table, name)) !== false;
    const tables = start.tables.filter(isWanted);
    this.#watch.depth = start.tellsDefinitions ? 'shared' : 'all';
    // What has changed before the source began was not told.
    this.#watch.told(start.lsn);
    this.#watch.want();
    this.#ledger.began({ ...start, tables });
    this.#state = 'current';
    this.#beginCount++;
    this.#untold.clear();
    const missing = wanted?.filter((name) => !start.tables.some((table) => isNamed(table, name))) ?? [];
    this.#reason =
      missing.length === 0
        ? undefined
        : `the source does not tell of ${missing.join(', ')}: what depends on it only grows old`;
    this.#warn(this.#reason);
    for (const listener of this.#listeners) listener.began(start);
  }

  #changed(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    this.#commitCount++;
    if (changes === 'all') {
      this.#watch.told(lsn);
      this.#redefined(lsn);
      return;
    }
    this.#ledger.changed(changes, lsn);
    this.#tell(changes, lsn);
    if (this.#ground.publisher.wants('changes')) for (const { table } of changes) this.#untold.add(table);
  }

  #reached(lsn: Lsn): void {
    this.#ledger.reached(lsn);
    const { start } = this.#ledger;
    if (this.#untold.size === 0 || start === undefined) return;
    const tables = [...this.#untold].filter((table) => start.tables.includes(table));
    this.#untold.clear();
    if (tables.length === 0) return;
    this.#ground.publisher.publish('changes', { tables, timeline: start.timeline, lsn: formatLsn(lsn) });
  }

  /** Nothing that was read before stays current, and what texts depend on is found out again. */
  #redefined(lsn: Lsn): void {
    this.#ledger.definitionChanged(lsn);
    this.#tell('all', lsn);
    this.#source?.definitionsChanged?.().catch(() => undefined);
    this.#ground.classifier.catalog.reloadWhole(performance.now());
  }

  #tell(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    if (this.#listeners.size === 0) return;
    const timeline = this.#ledger.start?.timeline ?? this.#ground.fleet.history.timelines.timeline;
    for (const listener of this.#listeners) listener.changed(changes, { timeline, lsn });
  }

  #broken(reason: string): void {
    this.#ledger.broken();
    this.#state = 'broken';
    this.#reason = reason;
    this.#warn(this.#reason);
  }

  /** Whether the watermark stands still. */
  #look(): void {
    const { start, watermark } = this.#ledger;
    const heldBack = start === undefined ? undefined : this.#heldBack();
    const now = performance.now();
    const lsn = start === undefined ? undefined : watermark;
    this.#stillMillis = this.#standstill.look(lsn, this.#ground.fleet.history.highest, heldBack !== undefined, now);
    const isLong = this.#stillMillis >= STILL_MILLIS;
    this.#stillness = isLong ? `the position stands still, and answers grow old: ${heldBack ?? UNKNOWN}` : undefined;
    if (this.#stillness !== undefined) this.#warn(this.#stillness);
    else if (this.#stillMillis === 0) this.#warn(this.#reason);
  }

  #heldBack(): string | undefined {
    try {
      return this.#subscription?.heldBack?.();
    } catch {
      return 'the source has thrown an error';
    }
  }

  /** Once for each cause. */
  #warn(message: string | undefined): void {
    if (message === undefined) this.#warnedOf = undefined;
    if (message === undefined || message === this.#warnedOf || !this.#ground.publisher.wants('warning')) return;
    this.#warnedOf = message;
    this.#ground.publisher.publish('warning', { code: 'changes', message });
  }
}

/** @param name may lack its schema */
function isNamed(table: string, name: string): boolean {
  return table === name || (!name.includes('.') && table.endsWith(`.${name}`));
}
