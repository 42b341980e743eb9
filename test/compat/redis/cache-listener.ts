/** A process that listens to what processes tell each other of the cache, and says what it has heard when. */
import { Redis } from 'ioredis';
import { redisCache } from '../../../src/redis.js';

const [port, presenceMillis] = process.argv.slice(2).map(Number);
const client = new Redis(port ?? 0, '127.0.0.1').on('error', () => undefined);
const store = redisCache(client, { presenceMillis: presenceMillis ?? 0 });

/** When it would still have used what a message could have said to forget: by the clock of the machine. */
let trustedAt = 0;
const subscription = store.channel?.listen({
  heard: (text) => process.send?.({ text, trustedAt }),
  missed: () => undefined,
});
// Whatever happens first when it wakes up: it looks before it trusts.
setInterval(() => {
  if (subscription?.isCurrent() === true) trustedAt = Date.now();
}, 1);
process.on('message', () => process.exit());
process.once('disconnect', () => process.exit());
await subscription?.ready;
process.send?.({ text: 'ready', trustedAt });
