/** Waits for a promise, but not for ever. It cannot stop what it waits for. */
import { clearTimeout, setTimeout } from '../clock.js';
import { LadderError } from '../errors.js';

/** @throws LadderError `LADDER_TIMEOUT` when `asked` is not settled after `millis` milliseconds */
export async function withinBound<T>(asked: Promise<T>, millis: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LadderError('LADDER_TIMEOUT', `no answer within ${millis} ms`)), millis);
  });
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
