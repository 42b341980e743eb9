/** Which of several processes reads the log, and what becomes of the others, by a time that is played. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

import { Exchange, Log, Process } from './relay-play.js';

const pass = (millis: number) => vi.advanceTimersByTimeAsync(millis);

describe('several processes and one log', () => {
  let log: Log;
  let exchange: Exchange;
  let processes: Process[];

  const leader = () => processes.find(({ role }) => role === 'leading') as Process;
  const followers = () => processes.filter(({ role }) => role === 'following');

  beforeEach(async () => {
    vi.useFakeTimers();
    log = new Log();
    exchange = new Exchange();
    processes = [1, 2, 3].map(() => new Process(log, exchange));
    await pass(5_000);
  });
  afterEach(async () => {
    const closed = Promise.all(processes.map((one) => one.close()));
    await pass(200);
    await closed;
    expect(exchange.listenerCount).toBe(0);
    expect(log.holder).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('have one that reads it, and the others hear the same', async () => {
    expect(followers()).toHaveLength(2);
    for (const one of processes) one.news();
    log.commit();
    log.commit();
    await pass(10);
    const [first, second] = [log.end - 10n, log.end];
    expect(leader().news()).toEqual([`changed ${first}`, `reached ${first}`, `changed ${second}`, `reached ${second}`]);
    for (const one of followers()) {
      expect(one.news()).toEqual([`changed ${first}`, `changed ${second}`, `reached ${second}`]);
    }
  });

  it('pass on what belongs together in one message, and not more than one in 5 ms', async () => {
    await pass(500);
    const before = exchange.messages.length;
    for (let i = 0; i < 100; i++) {
      log.commit();
      await pass(1);
    }
    await pass(10);
    expect(exchange.messages.length - before).toBeLessThanOrEqual(23);
    expect(exchange.messages.length - before).toBeGreaterThan(10);
  });

  it('do not try to read it as long as the one that does is heard, however idle', async () => {
    const { tryCount } = log;
    await pass(60_000);
    expect(log.tryCount).toBe(tryCount);
  });

  it('have another one within ten seconds when the first is gone without a word', async () => {
    const gone = leader();
    gone.isCut = true;
    await pass(500);
    log.drop();
    await pass(6_000);
    const next = processes.filter((one) => one !== gone && one.role === 'leading');
    expect(next).toHaveLength(1);
    for (const one of processes) one.news();
    log.commit();
    await pass(10);
    for (const one of processes.filter((each) => each !== gone)) {
      expect(one.news().at(-1)).toBe(`reached ${log.end}`);
    }
  });

  it('have another one at once when the first ends', async () => {
    const gone = leader();
    const closed = gone.close();
    await pass(300);
    await closed;
    expect(processes.filter((one) => one !== gone).map(({ role }) => role)).toContain('leading');
  });

  it('begin anew when messages were lost, and go on', async () => {
    const [follower] = followers() as [Process];
    follower.news();
    follower.isCut = true;
    log.commit();
    await pass(10);
    follower.isCut = false;
    log.commit();
    await pass(10);
    expect(follower.news()).toEqual([
      'broken: messages of the process that reads the log are missing',
      `began ${log.end - 10n}`,
      `changed ${log.end}`,
      `reached ${log.end}`,
    ]);
    expect(follower.source.stats.gapCount).toBe(1);
  });

  it('stop, and do nothing else, while the relay is gone; the one that reads goes on for itself', async () => {
    const one = leader();
    const others = followers();
    for (const each of processes) {
      each.news();
      each.isCut = true;
    }
    await pass(10_000);
    log.commit();
    expect(one.news()).toEqual([`changed ${log.end}`, `reached ${log.end}`]);
    for (const each of others) {
      expect(new Set(each.news())).toEqual(
        new Set(['broken: the process that reads the log is silent', 'broken: another process reads the log']),
      );
      expect(each.role).toBe('trying');
    }
    for (const each of processes) each.isCut = false;
    await pass(1_100);
    log.commit();
    await pass(10);
    expect(leader()).toBe(one);
    for (const each of others) {
      expect(each.role).toBe('following');
      expect(each.news().at(-1)).toBe(`reached ${log.end}`);
    }
  });

  it('have another one when the one that reads cannot be heard', async () => {
    const deaf = leader();
    deaf.isCut = true;
    await pass(25_000);
    expect(deaf.role).not.toBe('leading');
    expect(leader()).not.toBe(deaf);
    deaf.isCut = false;
    await pass(1_100);
    expect(deaf.role).toBe('following');
  });

  it('do not believe the one that wakes up when another reads already, nor does that one itself', async () => {
    const old = leader();
    old.isCut = true;
    await pass(500);
    const holder = log.drop();
    await pass(6_000);
    const next = processes.find((one) => one !== old && one.role === 'leading') as Process;
    for (const one of processes) one.news();
    // It wakes up, and reads what lies in its socket still.
    const sent = exchange.messages.length;
    old.isCut = false;
    holder.changed([{ table: 't' }], 12n);
    holder.reached(12n);
    await pass(5);
    expect(exchange.messages.length).toBeGreaterThan(sent);
    for (const one of processes.filter((each) => each !== old)) expect(one.news()).toEqual([]);
    expect(next.source.stats.staleCount).toBeGreaterThan(0);
    await pass(1_100);
    expect(old.role).toBe('following');
    expect(old.news()).toContain('broken: another process reads the log now');
    holder.reached(13n);
    expect(old.news()).not.toContain('reached 13');
  });

  it('hear nothing of another database, nor of what is no message', async () => {
    const [follower] = followers() as [Process];
    const [sample = ''] = exchange.messages;
    follower.news();
    for (const text of ['', '[', '["pglc1",1]', 'x'.repeat(2 ** 21), sample.replace('1/2', '1/3')]) exchange.pass(text);
    await pass(10);
    expect(follower.news()).toEqual([]);
    expect(follower.source.stats).toMatchObject({ malformedCount: 4, foreignCount: 1 });
  });

  it('tell nothing to others as long as the cluster is not known', async () => {
    const one = leader();
    one.stream = undefined;
    const sent = exchange.messages.length;
    await pass(2_000);
    log.commit();
    await pass(10);
    expect(exchange.messages).toHaveLength(sent);
    expect(one.news()).toContain(`reached ${log.end}`);
    one.stream = '1/2';
    await pass(1_100);
    log.commit();
    await pass(10);
    for (const each of processes) expect(each.news()).toContain(`reached ${log.end}`);
  });

  it('follow the same one when it begins anew', async () => {
    const one = leader();
    log.holder?.broken('the connection was lost');
    await pass(10);
    for (const each of processes) expect(each.news().at(-1)).toMatch(/^broken/);
    log.holder?.began({ timeline: 2, lsn: 5n, tables: ['t'], tellsDefinitions: false });
    await pass(1_100);
    log.end = 20n;
    log.commit();
    await pass(10);
    expect(leader()).toBe(one);
    for (const each of processes) {
      expect(each.news()).toEqual(expect.arrayContaining(['began 5', 'changed 30', 'reached 30']));
    }
  });
});
