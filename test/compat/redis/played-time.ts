/** Plays a server another time of day: a few lines of C that are loaded before its own library. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Libfaketime does not get along with the allocator that Redis brings. */
const SOURCE = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long shift(void) {
  char text[32] = { 0 };
  const char *path = getenv("PLAYED_TIME");
  int file = path ? open(path, O_RDONLY) : -1;
  if (file < 0) return 0;
  long seconds = read(file, text, sizeof text - 1) > 0 ? atol(text) : 0;
  close(file);
  return seconds;
}
int gettimeofday(struct timeval *time, void *zone) {
  long result = syscall(SYS_gettimeofday, time, zone);
  if (time) time->tv_sec += shift();
  return (int) result;
}
`;

export class PlayedTime implements Disposable {
  /** What a server's environment has to be to see it. */
  readonly env: Readonly<Record<string, string>>;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.env = { LD_PRELOAD: join(folder, 'time.so'), PLAYED_TIME: join(folder, 'seconds') };
    this.set(0);
  }

  /** `undefined` where there is no compiler. */
  static build(): PlayedTime | undefined {
    const folder = mkdtempSync(join(tmpdir(), 'pg-ladder-time-'));
    writeFileSync(join(folder, 'time.c'), SOURCE);
    const args = ['-shared', '-fPIC', '-o', join(folder, 'time.so'), join(folder, 'time.c')];
    if (process.platform === 'linux' && spawnSync('cc', args).status === 0) return new PlayedTime(folder);
    rmSync(folder, { recursive: true });
    return undefined;
  }

  /** From now on the server is so much ahead. */
  set(seconds: number): void {
    writeFileSync(join(this.#folder, 'seconds'), String(seconds));
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
