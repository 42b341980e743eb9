/**
 * What a store must do that several processes share, such as Redis. It keeps texts, tells its time,
 * and passes messages on. It judges nothing: how fresh an entry is, its readers decide.
 */

/** The time of a store. Times of different clocks are never compared. */
export interface SharedTime {
  readonly millis: number;
  /** Names the clock: another one after a restart, or on another server. */
  readonly clock: string;
}

/** Of two entries under one key the one further on in the log stays: by timeline, then by LSN. */
export interface SharedOrder {
  /** 1 to 2^32 − 1. */
  readonly timeline: number;
  /** 0 to 2^64 − 1. */
  readonly lsn: bigint;
}

/** What is found under keys. */
export interface SharedAnswer {
  /** In the order of the keys; `undefined` where there is nothing. */
  readonly values: readonly (string | undefined)[];
  /** Taken while they were read. */
  readonly time: SharedTime;
}

export interface SharedLease {
  /** Whether the caller has it. Others wait for what the one who has it stores, or do without. */
  readonly isGranted: boolean;
  readonly time: SharedTime;
}

/**
 * A store that several processes share. Each method rejects, or never resolves, where the store
 * cannot be reached: its callers wait for a few milliseconds at most, and then do without.
 */
export interface SharedStore {
  /** Reads several keys at once. */
  get(keys: readonly string[]): Promise<SharedAnswer>;
  /**
   * Keeps a text, unless the key has one of a higher order. Ends the lease on that key.
   * @param lifetimeMillis how long to keep it, above 0
   */
  set(key: string, value: string, order: SharedOrder, lifetimeMillis: number): Promise<void>;
  /** Asks to be the only one that fills a key for a while. */
  lease(key: string, lifetimeMillis: number): Promise<SharedLease>;
  /** Ends a lease that was granted, where nothing is to be stored. */
  release(key: string): Promise<void>;
  /** How many entries are kept, as far as the store can tell. */
  size(): Promise<number | undefined>;
  /** Where processes tell each other what to forget; `undefined` for a store without one. */
  readonly channel: SharedChannel | undefined;
  /** Ends what the store opened by itself. What it was handed stays open. */
  close(): Promise<void>;
}

/** Hears messages. */
export interface SharedListener {
  /** A message of any process, this one too; each comes once, in order. @param at when it was told */
  heard(message: string, at: SharedTime): void;
  /** Messages may have been missed: whatever they could have said must be taken for said. */
  missed(): void;
}

export interface SharedChannel {
  /**
   * Tells all processes, and keeps it for those that start later.
   * Resolves when each process that listens has heard it.
   * @param lifetimeMillis how long it is kept for those that start later
   * @throws (rejects) when it was not told, or when a process that listens has not heard it within `timeoutMillis`
   */
  tell(message: string, lifetimeMillis: number, timeoutMillis: number): Promise<void>;
  /** Also hears what is kept from before. Resolves when that was heard. */
  listen(listener: SharedListener): Promise<void>;
}
