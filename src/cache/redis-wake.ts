/**
 * A connection of its own on which Redis says that there is something to hear. It is only quicker
 * for it: whoever waits also looks by himself, so that nothing depends on a subscription, and no
 * failure of one is told.
 */
import { inNoContext } from '../async-context.js';
import { libraryOf } from '../redis-client.js';

/** What both libraries' duplicates have. */
interface Emitter {
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}
interface NodeRedisDuplicate extends Emitter {
  connect(): Promise<unknown>;
  subscribe(channel: string, listener: () => void): Promise<unknown>;
  destroy?(): unknown;
  disconnect?(): unknown;
}
interface IoredisDuplicate extends Emitter {
  readonly status: string;
  connect(): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  disconnect(): void;
}

export class RedisWake {
  /** Whether there is a connection at all: a pool's client has none to subscribe on. */
  readonly isPossible: boolean;
  readonly #end: () => unknown;

  /**
   * @param onWake also called when the connection is there again: something may have been said
   * meanwhile
   */
  constructor(client: unknown, channel: string, onWake: () => void) {
    const end = inNoContext(() => opened(client, channel, onWake));
    this.isPossible = end !== undefined;
    this.#end = end ?? (() => undefined);
  }

  close(): void {
    void attempt(this.#end);
  }
}

/** Begins to connect; what it returns ends that. */
function opened(client: unknown, channel: string, onWake: () => void): (() => unknown) | undefined {
  const { duplicate } = Object(client) as { duplicate?: unknown };
  if (typeof duplicate !== 'function') return undefined;
  const own: unknown = (client as { duplicate(): unknown }).duplicate();
  // Its failures are the other connection's, too, and are told there.
  (own as Emitter).on('error', () => undefined);
  return libraryOf(client) === 'ioredis'
    ? openIoredis(own as IoredisDuplicate, channel, onWake)
    : openNodeRedis(own as NodeRedisDuplicate, channel, onWake);
}

function openNodeRedis(own: NodeRedisDuplicate, channel: string, onWake: () => void): () => unknown {
  own.on('ready', onWake);
  void attempt(async () => {
    await own.connect();
    await own.subscribe(channel, onWake);
    onWake();
  });
  return () => (own.destroy === undefined ? own.disconnect?.() : own.destroy());
}

function openIoredis(own: IoredisDuplicate, channel: string, onWake: () => void): () => unknown {
  const subscribe = (): void => {
    void attempt(async () => {
      await own.subscribe(channel);
      onWake();
    });
  };
  own.on('message', onWake);
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
    // Those who wait look by themselves.
  }
}
