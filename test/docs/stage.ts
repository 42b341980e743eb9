/** What blocks that run are given: a cluster on the servers of the environment, and its pool. */
import { createCluster } from '../../src/index.js';

const { PRIMARY_URL = '', REPLICA_1_URL = '', REPLICA_2_URL = '' } = process.env;

export const cluster = createCluster({ name: 'given', primary: PRIMARY_URL, replicas: [REPLICA_1_URL, REPLICA_2_URL] });
export const pool = cluster.pool();
