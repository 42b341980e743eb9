/**
 * A relay on Redis, by PUBLISH and SUBSCRIBE. Nothing is kept in Redis. It never waits for the
 * client: of what Redis does not take, it holds a bounded part, and loses the rest.
 */
import { z } from 'zod';
import { inBackground } from '../async-context.js';
import { type ChangeRelay, MAX_RELAY_MESSAGE_LENGTH, type RelayListening } from '../change-relay.js';
import { clearInterval, performance, setInterval } from '../clock.js';
import { invalidOptions } from '../errors.js';
import { check, optionsOf } from '../options/check.js';
import { type IoredisClient, libraryOf, type NodeRedisClient } from '../redis-client.js';
import { canSubscribe, RedisSubscription } from '../redis-subscription.js';

/** What a client of node-redis (5 and above) has, as far as it matters here. */
export interface NodeRedisRelayClient extends NodeRedisClient {
  publish(channel: string, message: string): Promise<unknown>;
  duplicate(): unknown;
}

/** What a client of ioredis (5 and above) has, as far as it matters here. */
export interface IoredisRelayClient extends IoredisClient {
  publish(channel: string, message: string): Promise<unknown>;
  duplicate(): unknown;
}

export interface RedisRelayOptions {
  /** How its channel in Redis begins, without braces. Default `pg-ladder:changes:`. */
  prefix?: string;
}

const schema = optionsOf({
  prefix: z
    .string()
    .max(256)
    .regex(/^[^{}]*$/, 'no braces')
    .default('pg-ladder:changes:'),
});

/** So many messages, and characters of them, may be unanswered. */
const MAX_UNANSWERED_COUNT = 256;
const MAX_UNANSWERED_LENGTH = 8 * MAX_RELAY_MESSAGE_LENGTH;
/**
 * A connection on which nothing comes for so long may be dead: another one takes its place. While
 * nothing comes on any, it takes twice as long each time.
 */
const QUIET_MILLIS = 4_000;
const MAX_QUIET_MILLIS = 64_000;
const LOOK_MILLIS = 500;

/**
 * Passes changes from the process that reads the log to all others, through Redis or Valkey. Each
 * process that listens has one more connection of the client's kind.
 * @param client connected or about to be, of node-redis 5 and above or of ioredis 5 and above: of a
 * single server, a sentinel or a cluster. A pool cannot subscribe. Opening, closing and its `error`
 * event stay with the application
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function redisRelay(
  client: NodeRedisRelayClient | IoredisRelayClient,
  options: RedisRelayOptions = {},
): ChangeRelay {
  const { prefix } = check(schema, options, 'relay');
  const { publish } = Object(client) as { publish?: unknown };
  if (libraryOf(client) === undefined || typeof publish !== 'function' || !canSubscribe(client)) {
    throw invalidOptions(
      'relay: client: expected one of node-redis 5 or above, or of ioredis 5 or above, with publish() and duplicate(): a pool has none',
    );
  }
  return new RedisRelay(client, `${prefix}{relay}`);
}

class RedisRelay implements ChangeRelay {
  readonly #client: NodeRedisRelayClient | IoredisRelayClient;
  readonly #channel: string;
  #unansweredCount = 0;
  #unansweredLength = 0;

  constructor(client: NodeRedisRelayClient | IoredisRelayClient, channel: string) {
    this.#client = client;
    this.#channel = channel;
  }

  publish(message: string): void {
    const { length } = message;
    if (length > MAX_RELAY_MESSAGE_LENGTH || this.#unansweredCount >= MAX_UNANSWERED_COUNT) return;
    if (this.#unansweredLength + length > MAX_UNANSWERED_LENGTH) return;
    this.#unansweredCount++;
    this.#unansweredLength += length;
    void this.#published(message).finally(() => {
      this.#unansweredCount--;
      this.#unansweredLength -= length;
    });
  }

  listen(heard: (message: string) => void): RelayListening {
    return new RedisListening(this.#client, this.#channel, heard);
  }

  /** Whatever becomes of it: its error may carry the message, and those who listen see the gap. */
  async #published(message: string): Promise<void> {
    try {
      await inBackground(() => this.#client.publish(this.#channel, message));
    } catch {
      // A gap.
    }
  }
}

/** Listens, on one connection after the other. */
class RedisListening implements RelayListening {
  readonly #open: () => RedisSubscription;
  readonly #timer: NodeJS.Timeout;
  #subscription: RedisSubscription;
  #isClosed = false;
  #quietMillis = QUIET_MILLIS;
  #lookedAt = performance.now();
  /** When something came, or the connection began. */
  #cameAt = performance.now();

  constructor(client: unknown, channel: string, heard: (message: string) => void) {
    this.#open = () => {
      const subscription: RedisSubscription = new RedisSubscription(client, channel, {
        heard: (message) => {
          if (this.#isClosed || subscription !== this.#subscription || typeof message !== 'string') return;
          this.#cameAt = performance.now();
          this.#quietMillis = QUIET_MILLIS;
          heard(message);
        },
        ready: () => undefined,
      });
      return subscription;
    };
    this.#subscription = this.#open();
    this.#timer = setInterval(() => this.#look(), LOOK_MILLIS);
    this.#timer.unref();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#subscription.close();
  }

  #look(): void {
    const now = performance.now();
    // Where this process stood still, what came meanwhile is read first.
    const stoodStill = now - this.#lookedAt > 2 * LOOK_MILLIS;
    this.#lookedAt = now;
    if (stoodStill || now - this.#cameAt < this.#quietMillis) return;
    this.#cameAt = now;
    this.#quietMillis = Math.min(2 * this.#quietMillis, MAX_QUIET_MILLIS);
    this.#subscription.close();
    this.#subscription = this.#open();
  }
}
