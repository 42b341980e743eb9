/** A contender as the rounds see it: opened for a task, measured round by round among the others, closed. */
import type { WorkName } from '../works.js';

/** @typeParam T what it can be set to */
export interface Contender<T = Task> {
  readonly name: string;
  /** Connects and runs until it is as fast as it gets. */
  open(task: T): Promise<void>;
  round(millis: number): Promise<Sample>;
  /** Lets go of its connections, and tells what it held. `undefined`: it is no process of Node's. */
  close(): Promise<Heap | undefined>;
  /** Ends it for good, whatever it is doing. */
  stop(): void;
}

export interface Task {
  readonly work: WorkName;
  readonly callers: number;
}

/** What one round of a contender came to. */
export interface Sample {
  readonly perSecond: number;
  /** Of the process, in user and in system mode, for each operation. `undefined`: it is no process of Node's. */
  readonly cpuMicros: number | undefined;
  /** Reads of what their caller had written just before, and how many of them showed something older. */
  readonly checkedCount: number;
  readonly staleCount: number;
  readonly errorCount: number;
  readonly firstError: string | undefined;
}

/** In bytes, after a full collection. */
export interface Heap {
  /** What there is more when it is connected than before: its connections and all that it keeps for them. */
  readonly heldBytes: number;
  /** What there is more after the rounds than when it had just connected, compiled code included. */
  readonly grownBytes: number;
}
