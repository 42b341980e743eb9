/**
 * A bound for what should be over soon: whatever hangs must not keep the demo, nor the one who
 * interrupts it.
 */

/**
 * @throws Error naming `what`, when `work` takes longer; what `work` does from then on is of no
 * interest
 */
export async function within<T>(millis: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${millis / 1_000} s`)), millis);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
