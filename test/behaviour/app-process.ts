/** Starts an app of the tests in a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export interface AppProcess<Said> {
  /** Its first message. */
  readonly said: Said;
  readonly stop: () => Promise<void>;
}

/** Resolves when it has sent its first message, which says that it listens. */
export async function startApp<Said extends object>(file: URL, config: object): Promise<AppProcess<Said>> {
  const child: ChildProcess = fork(fileURLToPath(file), [JSON.stringify(config)], { execArgv: ['--import', 'tsx'] });
  const ended = once(child, 'exit');
  const [said] = (await Promise.race([once(child, 'message'), ended])) as [Said | number | null];
  if (said === null || typeof said === 'number') throw new Error(`${file.href} ended with ${said} before it listened`);
  return {
    said,
    stop: async () => {
      child.disconnect();
      // It ends by itself, or something holds it.
      const giveUp = setTimeout(() => child.kill('SIGKILL'), 5_000);
      const [code] = (await ended) as [number | null];
      clearTimeout(giveUp);
      expect(code).toBe(0);
    },
  };
}
