/**
 * What a store must do that several processes share, such as Redis. It keeps texts, tells its time,
 * and passes messages on. It judges nothing: how fresh an entry is, its readers decide.
 */

/**
 * The time of a store. There is one clock for all keys. Times of different clocks are never
 * compared, and entries in another clock's time have no age.
 */
export interface SharedTime {
  readonly millis: number;
  /**
   * Names the clock: another one after a restart, on another server, or when it was set back. At
   * most 64 characters.
   */
  readonly clock: string;
}

/** Of two entries under one key the one further on in the log stays: by timeline, then by LSN. */
export interface SharedOrder {
  /** 1 to 2^32 − 1. */
  readonly timeline: number;
  /** 0 to 2^64 − 1. */
  readonly lsn: bigint;
}

/** What is found under a key. */
export interface SharedFound {
  readonly value: string;
  /**
   * Not before the store's time at which the answer arrived: what is computed from it is no younger
   * than it is.
   */
  readonly time: SharedTime;
}

export interface SharedLease {
  /** Whether the caller has it. Others wait for what the one who has it stores, or do without. */
  readonly isGranted: boolean;
  /**
   * Not after the store's time at which the answer arrived: what is stored with it is taken for no
   * younger than it is.
   */
  readonly time: SharedTime;
}

/**
 * A store that several processes share. Each method rejects, or never resolves, where the store
 * cannot be reached: its callers wait for a few milliseconds at most, and then do without.
 */
export interface SharedStore {
  /** Reads a key; `undefined` where there is nothing. Those of one tick may travel together. */
  get(key: string): Promise<SharedFound | undefined>;
  /**
   * Keeps a text, unless the key has one of a higher order. Ends the lease on that key.
   * @param lifetimeMillis how long to keep it, above 0
   */
  set(key: string, value: string, order: SharedOrder, lifetimeMillis: number): Promise<void>;
  /**
   * Asks to be the only one that fills a key for a while.
   * @param lifetimeMillis how long, above 0, unless it ends before
   */
  lease(key: string, lifetimeMillis: number): Promise<SharedLease>;
  /** Ends a lease that was granted to this store's user, where nothing is to be stored. */
  release(key: string): Promise<void>;
  /** How many entries are kept; `undefined` where that is not known. */
  size(): Promise<number | undefined>;
  /** Where processes tell each other what to forget; `undefined` for a store without one. */
  readonly channel: SharedChannel | undefined;
  /** Ends what the store opened by itself. What it was handed stays open. */
  close(): Promise<void>;
}

/** Hears messages. Its methods have done what is to be done when they return. */
export interface SharedListener {
  /**
   * A message of any process, this one too, in the order in which they were told. One may come
   * twice, after the store has lost something.
   * @param at when it was told, by the store's time
   */
  heard(message: string, at: SharedTime): void;
  /**
   * Messages told up to then may have been missed: whatever they could have said must be taken for
   * said, also of what is kept from before.
   */
  missed(until: SharedTime): void;
}

/** A listener's place. */
export interface SharedSubscription {
  /** Resolves when it is current for the first time; never, where it is closed before. */
  readonly ready: Promise<void>;
  /**
   * Whether all has been heard that anybody was told that this process has heard. It is not for a
   * while after it was frozen, or could not reach the store: what a message could have said to
   * forget must not be used then. Asked right before the use; it costs a comparison.
   * @param now our monotonic clock, in milliseconds; default: now
   */
  isCurrent(now?: number): boolean;
  /** Hears no more, and is waited for no more. */
  close(): void;
}

export interface SharedChannel {
  /**
   * Tells all processes, and keeps it for those that start later. Resolves when each process that
   * listens has heard it, or is not current any more.
   * @param lifetimeMillis how long it is kept for those that start later
   * @throws (rejects) LadderError `LADDER_FORGET_INCOMPLETE` when it was not told, or when a
   * process that listens has not heard it within `timeoutMillis`
   */
  tell(message: string, lifetimeMillis: number, timeoutMillis: number): Promise<void>;
  /**
   * Hears what is told from now on, and what is kept from before. Where the store cannot be
   * reached, it goes on trying until it is closed.
   */
  listen(listener: SharedListener): SharedSubscription;
}
