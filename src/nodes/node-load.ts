/** The work that this process gives a node, and how long it takes there. It counts, and decides nothing. */
import { ResponseTime } from '../routing/balance.js';
import { Load } from '../routing/load.js';
import { Latency } from './latency.js';

/** The statements whose durations `stats()` shows: the latest of those that are timed. */
const TIMED_STATEMENTS = 512;

export class NodeLoad extends Load {
  /** Statements run there since the start. */
  statementCount = 0;
  /** Reads placed there that did not move elsewhere. */
  readCount = 0;
  readonly statementLatency = new Latency(TIMED_STATEMENTS);
  readonly response = new ResponseTime();
}
