/**
 * The library as the command loads it. The build leaves these two specifiers alone, so that the
 * command runs the library that lies next to it: nothing else in this folder imports it at run
 * time.
 */
export { createCluster, type Explanation } from '../index.js';
export { startTestCluster, type TestCluster } from '../testing/index.js';
