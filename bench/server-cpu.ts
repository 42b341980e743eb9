/**
 * How long the servers have computed, all processes of them together: Linux tells it to the nanosecond. Elsewhere nothing is
 * known. What ended between two looks is not counted, so connections must live longer than a round.
 */
import { readdirSync, readFileSync } from 'node:fs';
import pg from 'pg';

export class ServerCpu {
  readonly #postmasters: ReadonlySet<number>;

  private constructor(postmasters: ReadonlySet<number>) {
    this.#postmasters = postmasters;
  }

  /** @returns `undefined` where the system does not tell */
  static async of(connectionStrings: readonly string[]): Promise<ServerCpu | undefined> {
    const postmasters = new Set<number>();
    for (const connectionString of connectionStrings) {
      const client = new pg.Client({ connectionString });
      await client.connect();
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      const parent = parentOf(rows[0]?.pid ?? 0);
      await client.end();
      if (parent === undefined) return undefined;
      postmasters.add(parent);
    }
    return new ServerCpu(postmasters);
  }

  /** In microseconds, since each process began. */
  micros(): number {
    let nanos = 0;
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid)) continue;
      const parent = parentOf(pid);
      if (this.#postmasters.has(pid) || (parent !== undefined && this.#postmasters.has(parent))) nanos += ranNanos(pid);
    }
    return nanos / 1_000;
  }
}

/** The process that started it; `undefined` where that is not told, or it has ended. */
function parentOf(pid: number): number | undefined {
  // The name stands in brackets, and may hold anything.
  const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(told(pid, 'stat')) ?? [];
  return parent === undefined ? undefined : Number(parent);
}

function ranNanos(pid: number): number {
  return Number(told(pid, 'schedstat').split(' ')[0] ?? 0);
}

function told(pid: number, what: string): string {
  try {
    return readFileSync(`/proc/${pid}/${what}`, 'utf8');
  } catch {
    return '';
  }
}
