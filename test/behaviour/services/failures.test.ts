import { createServer } from 'node:http';
import * as undici from 'undici';
import { describe, expect, it } from 'vitest';
import { orderOf, sessionFetch, sessionInterceptor } from '../../../src/http/sessions.js';
import { agent, alone, asked, asksServices, closed, cluster, HEADER, inner, listening, now, origin } from './asked.js';

asksServices();

describe('other services', () => {
  describe('that fail', () => {
    /** What undici says by itself, and with the interceptor. */
    const both = async (fail: (dispatcher: undici.Dispatcher) => Promise<unknown>) => {
      const said = (dispatcher: undici.Dispatcher) =>
        fail(dispatcher).then(
          () => 'nothing',
          (error: Error & { code?: string }) => ({ name: error.name, code: error.code }),
        );
      return [await said(inner), await cluster.session(() => said(agent), alone)];
    };

    it.each<[string, string, (dispatcher: undici.Dispatcher) => Promise<unknown>]>([
      [
        'an answer that breaks off',
        'UND_ERR_SOCKET',
        async (dispatcher) => (await undici.request(`${origin}/broken`, { dispatcher })).body.text(),
      ],
      [
        'no answer in time',
        'UND_ERR_HEADERS_TIMEOUT',
        (dispatcher) => undici.request(`${origin}/never`, { dispatcher, headersTimeout: 50 }),
      ],
      [
        'a signal',
        'ABORT_ERR',
        (dispatcher) => {
          const controller = new AbortController();
          const asking = undici.request(`${origin}/never`, { dispatcher, signal: controller.signal });
          setTimeout(() => controller.abort(), 50);
          return asking;
        },
      ],
      [
        'a header that cannot be',
        'UND_ERR_INVALID_ARG',
        (dispatcher) => undici.request(origin, { dispatcher, headers: { 'not a name': '1' } }),
      ],
    ])('do so as undici has it: %s', async (_, code, fail) => {
      const [bare, told] = await both(fail);
      if (code === 'ABORT_ERR') expect(bare).toMatchObject({ name: 'AbortError' });
      else expect(bare).toMatchObject({ code });
      expect(told).toEqual(bare);
    });

    it('do so as undici has it: nobody listens', async () => {
      const gone = createServer();
      const goneOrigin = await listening(gone);
      await closed(gone);
      const interceptor = sessionInterceptor(cluster, { origins: [goneOrigin] });
      await cluster.session(async () => {
        await expect(undici.request(goneOrigin, { dispatcher: inner.compose(interceptor) })).rejects.toMatchObject({
          code: 'ECONNREFUSED',
        });
        const told = sessionFetch(cluster, { origins: [goneOrigin] });
        await expect(told(goneOrigin)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
      }, alone);
    });

    it('do so as undici has it: the dispatcher is closed', async () => {
      await inner.close();
      const [bare, told] = await both((dispatcher) => undici.request(origin, { dispatcher }));
      expect(bare).toMatchObject({ code: 'UND_ERR_DESTROYED' });
      expect(told).toEqual(bare);
    });

    it('do so as undici has it: an interceptor below throws', { timeout: 5_000 }, async () => {
      const throwing: undici.Dispatcher.DispatcherComposeInterceptor = () => () => {
        throw new Error('not today');
      };
      const interceptor = sessionInterceptor(cluster, { origins: [origin] });
      await expect(undici.request(origin, { dispatcher: inner.compose(throwing) })).rejects.toThrow('not today');
      await cluster.session(async () => {
        const asking = undici.request(origin, { dispatcher: inner.compose(throwing, interceptor) });
        await expect(asking).rejects.toThrow('not today');
      }, alone);
    });

    it('do so as undici has it: a MockAgent knows nothing of that', { timeout: 5_000 }, async () => {
      const mocked = new undici.MockAgent();
      mocked.disableNetConnect();
      try {
        const unmatched = { code: 'UND_MOCK_ERR_MOCK_NOT_MATCHED' };
        await expect(undici.request(origin, { dispatcher: mocked })).rejects.toMatchObject(unmatched);
        const told = mocked.compose(sessionInterceptor(cluster, { origins: [origin] }));
        await cluster.session(async () => {
          await expect(undici.request(origin, { dispatcher: told })).rejects.toMatchObject(unmatched);
        }, alone);
      } finally {
        await mocked.close();
      }
    });

    it('are asked again by undici’s own interceptors', async () => {
      now.answered = 'nonsense';
      const retrying = inner.compose(
        sessionInterceptor(cluster, { origins: [origin] }),
        undici.interceptors.retry({ maxRetries: 1, minTimeout: 1, errorCodes: ['UND_ERR_SOCKET'] }),
      );
      await cluster.session(async () => {
        const { body } = await undici.request(`${origin}/broken`, { dispatcher: retrying });
        await expect(body.text()).rejects.toMatchObject({ name: expect.stringMatching(/Error/) });
      }, alone);
      expect(asked.length).toBeGreaterThan(1);
      for (const { headers } of asked) expect(orderOf(String(headers[HEADER]))).toBeDefined();
    });
  });
});
