// The one error class of the test cluster. Its codes are stable; its messages say what was
// expected, what came and what to do. It never wraps an error that PostgreSQL itself reported:
// those pass through.

/** Why a test cluster could not do what it was asked to. */
export type TestBackendErrorCode =
  | 'LADDER_TEST_BACKEND_MISSING'
  | 'LADDER_TEST_OPTIONS_INVALID'
  | 'LADDER_TEST_START_FAILED'
  | 'LADDER_TEST_TIMEOUT'
  | 'LADDER_TEST_UNSUPPORTED';

/** Thrown by `startTestCluster` and by the nodes of a test cluster. */
export class TestBackendError extends Error {
  override readonly name = 'TestBackendError';
  /** Stable, for programs. */
  readonly code: TestBackendErrorCode;

  constructor(code: TestBackendErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
