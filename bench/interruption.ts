/** Runs a task that Ctrl-C ends in good order: what it started is stopped by its own finally-blocks. The second one ends the process at once. */
import { constants } from 'node:os';

/** npm and tsx pass on a signal that the terminal has sent to the whole group already: what comes so soon after the first is the same Ctrl-C. */
const ECHO_MILLIS = 1_000;

/** @returns the exit code: the task's own, 128 and the signal's number after an interruption, 1 when the task failed */
export async function interruptible(task: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const interruption = new AbortController();
  let interrupted = 0;
  let interruptedAt = 0;
  const interrupt = (signal: 'SIGINT' | 'SIGTERM') => {
    if (interrupted !== 0 && performance.now() - interruptedAt < ECHO_MILLIS) return;
    if (interrupted !== 0) process.exit(interrupted);
    interruptedAt = performance.now();
    interrupted = 128 + constants.signals[signal];
    process.stderr.write('\nstopping...\n');
    interruption.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const code = await task(interruption.signal);
    return interrupted === 0 ? code : interrupted;
  } catch (error) {
    if (interrupted !== 0) return interrupted; // what fails while everything is being stopped fails because of that
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}
