// pg-ladder/testing: a real primary and replicas for anyone's tests. The public surface, nothing
// else.
export { isBackendAvailable } from './backend.js';
export { startTestCluster, type TestCluster, type TestClusterOptions } from './cluster.js';
export { TestBackendError, type TestBackendErrorCode } from './error.js';
export { type JitterOptions, type JitterStep, jitterSchedule, type ReplayJitter } from './jitter.js';
export type { Link } from './link.js';
export type { SettingChanges, TestNode } from './node.js';
export type { BackendName, Settings } from './server.js';
export {
  type ChangeSourceCheck,
  type CheckedClient,
  type CheckedPool,
  checkChangeSource,
} from './source-conformance.js';
