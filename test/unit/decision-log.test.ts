// The lines of the log of decisions, and that nothing is looked at while it is off.
import { afterEach, describe, expect, it, vi } from 'vitest';

afterEach(() => {
  vi.doUnmock('node:util');
  vi.resetModules();
});

/** The log, with what it prints. */
async function logged(enabled: boolean) {
  const lines: string[] = [];
  vi.doMock('node:util', async (original) => ({
    ...(await original<object>()),
    debuglog: () => Object.assign((_: string, line: string) => lines.push(line), { enabled }),
  }));
  const { Publisher } = await import('../../src/publisher.js');
  return { publisher: new Publisher('shop'), lines };
}

const health = { node: 'r1', role: 'replica', state: 'ejected', previous: 'live', cause: 'it hung' } as const;

describe('the log of decisions', () => {
  it('prints decisions on one line each, whatever a server calls itself', async () => {
    const { publisher, lines } = await logged(true);
    expect(publisher.wants('route')).toBe(true);
    publisher.publish('route', {
      id: 7,
      rung: 'replica',
      node: 'r1',
      role: 'replica',
      reason: 'gated',
      waitedMillis: 1.23456,
    });
    publisher.publish('node', { ...health, node: 'r1\n\u001b[31m "x"' });
    expect(lines).toEqual([
      'route id=7 rung=replica node=r1 role=replica reason=gated waitedMillis=1.235 cluster=shop',
      'node node="r1  \\"x\\"" role=replica state=ejected previous=live cause="it hung" cluster=shop',
    ]);
  });

  it('leaves out how long statements took, and warnings', async () => {
    const { publisher, lines } = await logged(true);
    expect([publisher.wants('query'), publisher.wants('warning')]).toEqual([false, false]);
    publisher.publish('warning', { code: 'misrouted', message: 'something' });
    expect(lines).toEqual([]);
  });

  it('builds nothing while it is off', async () => {
    const { publisher, lines } = await logged(false);
    expect(publisher.wants('route')).toBe(false);
    publisher.publish('node', health);
    expect(lines).toEqual([]);
  });
});
