/**
 * Where processes tell each other something through Redis, and learn that all have heard it. It
 * numbers what is told, and waits for those that are present. What was said, its users decide.
 */
import { randomUUID } from 'node:crypto';
import { performance, setTimeout, wallMillis } from '../clock.js';
import { settledWithin, within } from '../deadline.js';
import { invalidOptions, LadderError, noAnswer } from '../errors.js';
import type { Script } from '../redis-client.js';
import { RedisSubscription } from '../redis-subscription.js';
import type { SharedChannel, SharedListener, SharedSubscription, SharedTime } from '../shared-store.js';
import { PresenceWatch, type Present } from './presence.js';
import { type Heard, Listening, type Message, type News } from './redis-listening.js';
import { LEAVE, LOOK, STRIKE, SYNC, TELL } from './redis-scripts.js';

/** How far clocks of two machines go apart at most: who has not come for so much longer is gone. */
const GONE_SHARE = 1.25;
/** Visits in the time that one is present for: one may be lost. */
const VISITS = 3;
/** A client that cannot subscribe comes more often instead; in milliseconds. */
const UNWOKEN_MILLIS = 250;
/** Who tells looks again after so long, and then after twice as long; in milliseconds. */
const FIRST_LOOK_MILLIS = 2;
const LAST_LOOK_MILLIS = 100;
/** Redis has so long to hear that somebody leaves; in milliseconds. */
const LEAVE_MILLIS = 100;
/**
 * Those who listen look who has gone, so that who tells need not wait for them; in presence times.
 */
const LOOK_SHARE = 10;
const MAX_MESSAGE_LENGTH = 2 ** 20;
const MESSAGE_PARTS = 4;

export interface ChannelOptions {
  readonly client: unknown;
  readonly keys: { readonly state: string; readonly present: string; readonly log: string; readonly wake: string };
  readonly presenceMillis: number;
  readonly run: (script: Script, keys: string[], args: string[]) => Promise<unknown>;
  /** What Redis has told of its time. */
  readonly learn: (time: SharedTime, sentAt: number, sentAtWall: number) => void;
}

/** Who is present, and since when that is known. */
interface Attendance {
  readonly clock: string;
  /** Whether everybody who takes himself for current has come since the clock began. */
  readonly isWhole: boolean;
  readonly present: readonly Present[];
}

export class RedisChannel implements SharedChannel {
  readonly #options: ChannelOptions;
  readonly #goneMillis: number;
  readonly #watch: PresenceWatch;
  readonly #listening = new Set<Listening>();
  readonly #leaving = new Set<Promise<unknown>>();
  #wake: RedisSubscription | undefined;
  /** The clock that we have met last, and since when. */
  #met = { clock: '', since: 0 };
  #lookedAt = performance.now();

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#goneMillis = options.presenceMillis * GONE_SHARE;
    this.#watch = new PresenceWatch(this.#goneMillis);
  }

  listen(listener: SharedListener): SharedSubscription {
    const { client, keys, presenceMillis } = this.#options;
    const come = (): void => {
      for (const one of this.#listening) one.come();
    };
    // It is only quicker for it: those who listen also come by themselves.
    this.#wake ??= new RedisSubscription(client, keys.wake, { heard: come, ready: come });
    const name = randomUUID();
    const listening: Listening = new Listening(listener, {
      presenceMillis,
      everyMillis: Math.min(presenceMillis / VISITS, this.#wake.isPossible ? presenceMillis : UNWOKEN_MILLIS),
      visit: async (heard) => this.#visit(name, heard),
      leave: () => this.#left(listening, name),
    });
    this.#listening.add(listening);
    return listening;
  }

  async tell(message: string, lifetimeMillis: number, timeoutMillis: number): Promise<void> {
    if (message.length > MAX_MESSAGE_LENGTH) {
      throw invalidOptions(`cache: a message of more than ${MAX_MESSAGE_LENGTH} characters`);
    }
    const endsAt = performance.now() + timeoutMillis;
    let number: number;
    let clock: string;
    try {
      [clock, number] = await within(this.#told(message, lifetimeMillis), timeoutMillis, () => noAnswer(timeoutMillis));
    } catch (cause) {
      throw new LadderError('LADDER_FORGET_INCOMPLETE', 'cache: not told: Redis did not take it', { cause });
    }
    await this.#acknowledged(clock, number, endsAt, timeoutMillis);
  }

  /** Those who tell need not wait for us: Redis knows when this resolves, unless it takes long. */
  async close(): Promise<void> {
    for (const one of this.#listening) one.close();
    await settledWithin(Promise.all(this.#leaving), LEAVE_MILLIS, true);
  }

  #left(listening: Listening, name: string): void {
    this.#listening.delete(listening);
    if (this.#listening.size === 0) {
      this.#wake?.close();
      this.#wake = undefined;
    }
    const { keys, run } = this.#options;
    const leaving = run(LEAVE, [keys.present], [name])
      .catch(() => undefined)
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  async #told(message: string, lifetimeMillis: number): Promise<[clock: string, number: number]> {
    const { wake } = this.#options.keys;
    const { time, rest } = await this.#ask(TELL, [message, String(Math.ceil(lifetimeMillis)), wake], [wake]);
    const number = Number(rest[0]);
    if (!Number.isSafeInteger(number)) throw unexpected();
    return [time.clock, number];
  }

  /** Looks who has heard it, until all have who are there. */
  async #acknowledged(clock: string, number: number, endsAt: number, timeoutMillis: number): Promise<void> {
    let missing: string | undefined;
    for (let pause = FIRST_LOOK_MILLIS; ; pause = Math.min(pause * 2, LAST_LOOK_MILLIS)) {
      const left = endsAt - performance.now();
      let attendance: Attendance | undefined;
      if (left > 0) attendance = await within(this.#look(), left, () => noAnswer(left)).catch(() => undefined);
      if (attendance !== undefined) {
        missing = missingOf(attendance, clock, number);
        if (missing === undefined) return;
        // It will not be met again: what Redis has lost, it may not have handed out.
        if (attendance.clock !== clock) break;
      }
      if (endsAt - performance.now() <= pause) break;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    const told = missing ?? 'Redis does not say who has heard it';
    throw new LadderError('LADDER_FORGET_INCOMPLETE', `cache: told, but within ${timeoutMillis} ms ${told}`);
  }

  /** Who is present, without those who know themselves that they are not. */
  async #look(): Promise<Attendance> {
    const { time, rest } = await this.#ask(LOOK, []);
    const now = performance.now();
    const [since, ...pairs] = rest;
    const present: Present[] = [];
    for (let at = 0; at + 1 < pairs.length; at += 2) {
      const [name = '', entry = ''] = [pairs[at], pairs[at + 1]];
      present.push({ name, entry, heard: Number(entry.split(' ')[1] ?? -1) });
    }
    this.#watch.see(present, now);
    this.#lookedAt = now;
    const gone = this.#watch.gone(present, now);
    const { keys, run } = this.#options;
    await Promise.all(gone.map(({ name, entry }) => run(STRIKE, [keys.present], [name, entry])));
    const isOld = Math.max(time.millis - Number(since), now - this.#met.since) >= this.#goneMillis;
    return { clock: time.clock, isWhole: isOld && gone.length === 0, present };
  }

  async #visit(name: string, { clock, number, visitCount }: Heard): Promise<News> {
    const { time, rest } = await this.#ask(SYNC, [name, clock, String(number), String(visitCount)]);
    const [last, complete, ...parts] = rest;
    const messages: Message[] = [];
    for (let at = 0; at + MESSAGE_PARTS <= parts.length; at += MESSAGE_PARTS) {
      const [messageNumber, millis, messageClock = '', text = ''] = parts.slice(at, at + MESSAGE_PARTS);
      messages.push({ number: Number(messageNumber), text, at: { millis: Number(millis), clock: messageClock } });
    }
    const news = { time, number: Number(last), completeSinceMillis: Number(complete), messages };
    const numbers = messages.flatMap((one) => [one.number, one.at.millis]);
    if (![news.number, news.completeSinceMillis, ...numbers].every(Number.isFinite)) throw unexpected();
    if (performance.now() - this.#lookedAt > this.#options.presenceMillis * LOOK_SHARE) {
      this.#lookedAt = performance.now();
      void this.#look().catch(() => undefined);
    }
    return news;
  }

  /** Runs a script that begins with the clock. */
  async #ask(script: Script, args: string[], keys: string[] = []): Promise<{ time: SharedTime; rest: string[] }> {
    const { keys: own, run, learn } = this.#options;
    const sentAt = performance.now();
    const sentAtWall = wallMillis();
    const answer = await run(script, [own.state, own.present, own.log, ...keys], [newClock(), ...args]);
    const { time, rest } = clockIn(answer);
    learn(time, sentAt, sentAtWall);
    if (time.clock !== this.#met.clock) this.#met = { clock: time.clock, since: performance.now() };
    return { time, rest };
  }
}

/** The name of a clock that is new. */
export function newClock(): string {
  return randomUUID().replaceAll('-', '').slice(0, 16);
}

/** The clock that an answer begins with, and what follows it. */
export function clockIn(answer: unknown): { time: SharedTime; rest: string[] } {
  if (!Array.isArray(answer)) throw unexpected();
  const [clock = '', at, ...rest] = (answer as unknown[]).map(String);
  const millis = Number(at);
  if (!/^[0-9a-f]{16}$/.test(clock) || !Number.isFinite(millis)) throw unexpected();
  return { time: { clock, millis }, rest };
}

/** Why not all have heard it; `undefined` where they have. */
function missingOf({ clock, isWhole, present }: Attendance, toldBy: string, number: number): string | undefined {
  if (clock !== toldBy) return 'Redis was restarted, or lost what it had';
  const count = present.filter(({ heard }) => !(heard >= number)).length;
  if (count > 0) return `${count} of ${present.length} processes that listen have not heard it`;
  return isWhole ? undefined : 'it is not known who listens: Redis has just begun';
}

function unexpected(): Error {
  return new Error('cache: unexpected answer of Redis');
}
