// Replay that stumbles: paused for a while, running for a while, by a schedule drawn from a seed.
// The schedule is pure; the loop that plays it holds one connection, outlives the server's death
// and ends with replay resumed.
import { clearTimeout, setTimeout } from '../clock.js';
import { type ControlConnection, connect, type Login, withConnection } from './control.js';
import { TestBackendError } from './error.js';

/** What replay jitter is drawn from. */
export interface JitterOptions {
  /** Any integer; the same seed gives the same schedule. Default 1. */
  readonly seed?: number;
  /** Pauses are uniform between 0 and this. Milliseconds, above 0. Default 100. */
  readonly maxMillis?: number;
  /**
   * Expected share of the time in which replay is paused, between 0 and 1 exclusive. Default 0.5.
   */
  readonly share?: number;
}

/** One pause and the stretch of running replay after it, in milliseconds. */
export interface JitterStep {
  readonly pausedMillis: number;
  readonly runningMillis: number;
}

/** Replay jitter under way. */
export interface ReplayJitter {
  /** Resolves when replay runs again for good (at once when the server is gone). Idempotent. */
  stop(): Promise<void>;
}

/**
 * The endless schedule of `options`: pauses uniform in 0…maxMillis, running stretches uniform
 * between 0 and as much as makes `share` the expected share of paused time.
 *
 * @throws TestBackendError `LADDER_TEST_OPTIONS_INVALID` for numbers out of their range.
 */
export function* jitterSchedule(options: JitterOptions = {}): Generator<JitterStep, never> {
  const { seed, maxMillis, share } = validate(options);
  const random = mulberry32(seed);
  for (;;) {
    yield { pausedMillis: random() * maxMillis, runningMillis: (random() * maxMillis * (1 - share)) / share };
  }
}

/** Plays the schedule on the replica; resolves once the first pause has been asked for. */
export async function startJitter(server: Login, options: JitterOptions): Promise<ReplayJitter> {
  const schedule = jitterSchedule(validate(options));
  let isEnding = false;
  let wake = (): void => undefined;
  let connection: ControlConnection | undefined = await connect(server);

  const say = async (sql: string) => {
    connection ??= await connect(server);
    await connection.ask(sql);
  };
  const rest = (millis: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, millis);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (isEnding) wake();
    });

  const play = async () => {
    while (!isEnding) {
      const { value: step } = schedule.next();
      try {
        await say('select pg_wal_replay_pause()');
        await rest(step.pausedMillis);
        await say('select pg_wal_replay_resume()');
        await rest(step.runningMillis);
      } catch (error) {
        // 55000: promoted, there is nothing left to pause. Else killed or frozen: look again a
        // little later.
        if ((error as { code?: string }).code === '55000') return;
        await connection?.close();
        connection = undefined;
        await rest(100);
      }
    }
  };
  const played = play();

  let stopped: Promise<void> | undefined;
  const stop = async () => {
    isEnding = true;
    wake();
    const giveUp = setTimeout(() => void connection?.close(), 1_000); // a frozen server never answers
    await played;
    clearTimeout(giveUp);
    await connection?.close();
    await withConnection(server, (ask) => ask('select pg_wal_replay_resume()')).catch(() => {});
  };
  return {
    stop() {
      stopped ??= stop();
      return stopped;
    },
  };
}

function validate({ seed = 1, maxMillis = 100, share = 0.5 }: JitterOptions): Required<JitterOptions> {
  if (Number.isSafeInteger(seed) && maxMillis > 0 && maxMillis < 2 ** 31 && share > 0 && share < 1) {
    return { seed, maxMillis, share };
  }
  throw new TestBackendError(
    'LADDER_TEST_OPTIONS_INVALID',
    `Jitter needs an integer seed, maxMillis above 0 and a share between 0 and 1 (exclusive); ` +
      `got seed ${seed}, maxMillis ${maxMillis}, share ${share}.`,
  );
}

/** Tommy Ettinger's generator: 32 bits of state, uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
