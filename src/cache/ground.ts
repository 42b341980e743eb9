/** What the caches stand on. */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Changes } from '../changes/changes.js';
import type { Gate } from '../execute/gate.js';
import type { StatementRequest } from '../execute/request.js';
import type { Requests } from '../execute/requests.js';
import type { Fleet } from '../nodes/fleet.js';
import type { ReceiverLooks } from '../nodes/receiver-looks.js';
import type { Publisher } from '../publisher.js';
import type { Classifier } from '../statements/classifier.js';

/** Runs a read on the rungs below. */
export type RunBelow<Row extends QueryResultRow> = (request: StatementRequest) => Promise<QueryResult<Row>>;

/** A result that was there comes at once, without the promises that it takes to wait. */
export type Answered<Row extends QueryResultRow> = Promise<QueryResult<Row>> | QueryResult<Row>;

export interface CacheGround {
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly gate: Gate;
  readonly requests: Requests;
  readonly publisher: Publisher;
  /** What tells that kept answers are still current; `undefined` where nothing does. */
  readonly changes: Changes | undefined;
  /** Asks replicas how far reads can have seen; `undefined` where nothing keeps kept answers current. */
  readonly receiverLooks: ReceiverLooks | undefined;
}
