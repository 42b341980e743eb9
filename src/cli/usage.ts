/** What the command understands, and the error for what it does not. */

export const usage = `Usage: pg-ladder <command> [options]

Commands:
  demo             four ways of reading from replicas, side by side on a real cluster

Options of demo:
  --replicas <n>   replicas beside the primary, 1 to 8 (default 2)
  --seconds <n>    how long each way runs, 1 to 60 (default 8)
  --jitter <ms>    replay on each replica is paused half the time, up to that
                   long at once, 0 to 5000; 0: never (default 300)
  --seed <n>       the users and the pauses are drawn from it (default 1)
  --json           the figures as JSON on stdout

  -h, --help       this text
  --version        the version
`;

/** The command line was wrong: the message says what was expected and what came. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
