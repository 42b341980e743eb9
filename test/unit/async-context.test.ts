import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it, vi } from 'vitest';

type Module = typeof import('../../src/async-context.js');

describe('the async context of background work', () => {
  const request = new AsyncLocalStorage<string>();
  const API = Symbol.for('opentelemetry.js.api.1');
  const SUPPRESSED = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

  afterEach(() => {
    vi.resetModules();
    delete (globalThis as Record<symbol, unknown>)[API];
  });

  const late = (): Promise<Module> => {
    vi.resetModules();
    return request.run('that loads the library', () => import('../../src/async-context.js'));
  };

  it.each([['early'], ['within a request']])('has no store when the library was loaded %s', async (when) => {
    const library = when === 'early' ? await import('../../src/async-context.js') : await late();
    const seen = request.run('alice', () => {
      const { inBackground, inNoContext } = library;
      return [request.getStore(), inBackground(() => request.getStore()), inNoContext(() => request.getStore())];
    });
    expect(seen).toEqual(['alice', undefined, undefined]);
  });

  it('has no store in anything that it begins', async () => {
    const { inBackground } = await late();
    const later = async (): Promise<unknown> => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return request.getStore();
    };
    expect(await request.run('alice', async () => [await inBackground(later), request.getStore()])).toEqual([
      undefined,
      'alice',
    ]);
  });

  it('stays without one when a listener enters a store', async () => {
    const { inBackground, inNoContext } = await late();
    inNoContext(() => request.enterWith('a listener'));
    expect([inNoContext(() => request.getStore()), inBackground(() => request.getStore())]).toEqual([
      undefined,
      undefined,
    ]);
    request.enterWith(undefined as never);
  });

  it('can be left for that of the call, wherever something is brought about', async () => {
    const { CallingContext, inNoContext } = await import('../../src/async-context.js');
    const calling = request.run('alice', () => new CallingContext());
    expect(inNoContext(() => calling.runInAsyncScope(() => request.getStore()))).toBe('alice');
    expect(request.run('bob', () => calling.runInAsyncScope(() => request.getStore()))).toBe('alice');
  });

  it('makes no spans where OpenTelemetry is loaded, and only there', async () => {
    const { inBackground, inNoContext } = await import('../../src/async-context.js');
    const marks = new AsyncLocalStorage<Map<symbol, unknown>>();
    const context = (values: Map<symbol, unknown>) => ({
      values,
      setValue: (key: symbol, value: unknown) => context(new Map(values).set(key, value)),
    });
    const isSuppressed = () => marks.getStore()?.get(SUPPRESSED) === true;
    Object.assign(globalThis, {
      [API]: {
        context: {
          active: () => context(marks.getStore() ?? new Map()),
          with: <T>({ values }: { values: Map<symbol, unknown> }, fn: () => T): T => marks.run(values, fn),
        },
      },
    });
    expect([inBackground(isSuppressed), inNoContext(isSuppressed), isSuppressed()]).toEqual([true, false, false]);
    expect(inBackground(() => inNoContext(isSuppressed))).toBe(false);
  });

  it.each([
    [undefined],
    [null],
    [{}],
    [{ context: {} }],
    [{ context: { with: () => 'lost', active: () => undefined } }],
  ])('runs what it is given once, whatever stands in the place of OpenTelemetry: %j', async (api) => {
    const { inBackground } = await import('../../src/async-context.js');
    Object.assign(globalThis, { [API]: api });
    const run = vi.fn(() => 'done');
    expect(inBackground(run)).toBe('done');
    expect(run).toHaveBeenCalledTimes(1);
  });
});
