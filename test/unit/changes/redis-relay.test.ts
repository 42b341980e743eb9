/** Whatever a client of Redis does: a relay on it never throws, and holds no more than a bounded part of what it is handed. */
import { describe, expect, it } from 'vitest';
import { MAX_RELAY_MESSAGE_LENGTH } from '../../../src/change-relay.js';
import { redisRelay } from '../../../src/changes/redis-relay.js';

const nothing = (): undefined => undefined;
const shape = { eval: () => undefined, evalsha: () => undefined, defineCommand: () => undefined };
const playedClient = (publish: (channel: string, message: string) => unknown) =>
  ({ ...shape, publish, duplicate: () => undefined }) as never;
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('a relay on Redis', () => {
  it('loses what a client does not take, and goes on when it does', async () => {
    const answers: (() => void)[] = [];
    const relay = redisRelay(
      playedClient(
        () =>
          new Promise<void>((resolve) => {
            answers.push(resolve);
          }),
      ),
    );
    for (let i = 0; i < 10_000; i++) relay.publish('message');
    expect(answers).toHaveLength(256);
    answers.shift()?.();
    await settle();
    for (let i = 0; i < 10; i++) relay.publish('message');
    expect(answers).toHaveLength(256);
  });

  it('holds no more than a bounded length', () => {
    let publishedLength = 0;
    const never = new Promise(() => undefined);
    const relay = redisRelay(
      playedClient((_channel, message) => {
        publishedLength += message.length;
        return never;
      }),
    );
    const message = 'x'.repeat(MAX_RELAY_MESSAGE_LENGTH);
    for (let i = 0; i < 100; i++) relay.publish(message);
    relay.publish(`${message}x`);
    expect(publishedLength).toBe(8 * MAX_RELAY_MESSAGE_LENGTH);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['answers at once', () => 1],
  ])('goes on when the client %s', async (_how, publish: () => unknown) => {
    let count = 0;
    const relay = redisRelay(
      playedClient(() => {
        count++;
        return publish();
      }),
    );
    for (let i = 0; i < 300; i++) {
      relay.publish('message');
      await settle();
    }
    expect(count).toBe(300);
  });

  it('publishes on one channel for each prefix', () => {
    const channels: string[] = [];
    const client = playedClient((channel): number => channels.push(channel));
    redisRelay(client).publish('message');
    redisRelay(client, { prefix: 'shop:' }).publish('message');
    expect(channels).toEqual(['pg-ladder:changes:{relay}', 'shop:{relay}']);
  });

  it.each([
    ['nothing', undefined],
    ['something that is no client', { publish: nothing, duplicate: nothing }],
    ['a pool, which has no duplicate()', { ...shape, publish: nothing }],
  ])('is refused on %s', (_what, client) => {
    expect(() => redisRelay(client as never)).toThrow(/^relay: client: expected one of node-redis 5 or above/);
  });

  it('refuses a prefix with braces', () => {
    expect(() =>
      redisRelay(
        playedClient(() => 1),
        { prefix: '{a}' },
      ),
    ).toThrow('relay: prefix: no braces');
  });
});
