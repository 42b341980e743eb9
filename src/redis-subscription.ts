/**
 * A connection of its own on which Redis says what is published on a channel. It is of the client's
 * kind, and is never told failures of: those who listen notice by themselves that nothing comes.
 */
import { inNoContext } from './async-context.js';
import { libraryOf } from './redis-client.js';

/** What both libraries' duplicates have. */
interface Emitter {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}
interface NodeRedisDuplicate extends Emitter {
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: (message: unknown) => void): Promise<unknown>;
  destroy?(): unknown;
  disconnect?(): unknown;
}
interface IoredisDuplicate extends Emitter {
  readonly status: string;
  connect(): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  disconnect(): void;
}

export interface RedisSubscriber {
  /** A message, in the order in which Redis tells them. */
  heard(message: unknown): void;
  /** The connection is there, perhaps again: something may have been said meanwhile. */
  ready(): void;
}

export class RedisSubscription {
  /** Whether there is a connection at all: a pool's client has none to subscribe on. */
  readonly isPossible: boolean;
  readonly #end: () => unknown;

  constructor(client: unknown, channel: string, subscriber: RedisSubscriber) {
    const end = inNoContext(() => opened(client, channel, subscriber));
    this.isPossible = end !== undefined;
    this.#end = end ?? (() => undefined);
  }

  close(): void {
    void attempt(this.#end);
  }
}

/** Whether a client can be asked for another connection. */
export function canSubscribe(client: unknown): boolean {
  return typeof (Object(client) as { duplicate?: unknown }).duplicate === 'function';
}

/** Begins to connect; what it returns ends that. */
function opened(client: unknown, channel: string, subscriber: RedisSubscriber): (() => unknown) | undefined {
  if (!canSubscribe(client)) return undefined;
  const own: unknown = (client as { duplicate(): unknown }).duplicate();
  // Its failures are the other connection's, too, and are told there.
  (own as Emitter).on('error', () => undefined);
  return libraryOf(client) === 'ioredis'
    ? openIoredis(own as IoredisDuplicate, channel, subscriber)
    : openNodeRedis(own as NodeRedisDuplicate, channel, subscriber);
}

function openNodeRedis(own: NodeRedisDuplicate, channel: string, subscriber: RedisSubscriber): () => unknown {
  own.on('ready', () => subscriber.ready());
  void attempt(async () => {
    await own.connect();
    await own.subscribe(channel, (message) => subscriber.heard(message));
    subscriber.ready();
  });
  return () => (own.destroy === undefined ? own.disconnect?.() : own.destroy());
}

function openIoredis(own: IoredisDuplicate, channel: string, subscriber: RedisSubscriber): () => unknown {
  const subscribe = (): void => {
    void attempt(async () => {
      await own.subscribe(channel);
      subscriber.ready();
    });
  };
  own.on('message', (_channel, message) => subscriber.heard(message));
  // Also where it does not subscribe by itself again, or has no queue for what comes before.
  own.on('ready', subscribe);
  if (own.status === 'ready') subscribe();
  else if (own.status === 'wait') void attempt(() => own.connect());
  return () => own.disconnect();
}

/** Whatever becomes of it. */
async function attempt(fn: () => unknown): Promise<void> {
  try {
    await fn();
  } catch {
    // Those who listen notice that nothing comes.
  }
}
