import { EventEmitter } from 'node:events';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { AnswerSources, SourceTally } from '../../../src/nodes/answer-sources.js';
import type { Identity } from '../../../src/nodes/observation.js';
import { SourceWatch } from '../../../src/nodes/source-watch.js';

const PID = 7;
const identity = { server: 'a@1', pid: PID } as Identity;

type Called = (error: Error | null, result?: object) => void;

/** A connection whose server answers when it is told to. */
class PlayedClient extends EventEmitter {
  readonly connection = new EventEmitter();
  readonly _types = new (pg as unknown as { TypeOverrides: new () => pg.CustomTypesConfig }).TypeOverrides();
  processID = PID;
  _queryable = true;
  readonly asked: Called[] = [];
  values: Record<string, string> = {};

  query(_config: object, called: Called): void {
    this.asked.push(called);
  }

  answer(error: Error | null = null): void {
    const settings = Object.entries(this.values).map(([name, value]) => `${name}=${value}`);
    const rows = [{ database: ['shop', '5'], roles: ['app', 'app'], settings }];
    this.asked.shift()?.(error, error === null ? { rows } : undefined);
  }

  report(parameterName: string, parameterValue = ''): void {
    this.connection.emit('parameterStatus', { parameterName, parameterValue });
  }
}

async function watching(isShared = false, client = new PlayedClient()) {
  const tally = new SourceTally(() => sources.changed());
  const replicas = [{ name: 'r1', connections: { sources: tally } }];
  const sources: AnswerSources = new AnswerSources(() => replicas);
  const opening = SourceWatch.open(client as never, identity, tally, isShared);
  client.answer();
  return { client, tally, sources, watch: await opening };
}

const idle = () => true;
const aTick = () => new Promise<void>((resolve) => queueMicrotask(resolve));

describe('the source of a connection', () => {
  it('is alike for connections with the same settings, and another one with others', async () => {
    const { watch: first } = await watching();
    const { watch: same } = await watching();
    const other = new PlayedClient();
    other.values = { TimeZone: 'Europe/Paris' };
    const { watch: differing } = await watching(false, other);
    expect(first.source?.settings).toMatch(/^[0-9a-f]{32}$/);
    expect(same.source?.settings).toBe(first.source?.settings);
    expect(differing.source?.settings).not.toBe(first.source?.settings);
  });

  it('does not tell whether an extension is loaded, as long as it is as it comes', async () => {
    const loaded = new PlayedClient();
    loaded.values = { 'pg_trgm.similarity_threshold': '0.3' };
    const changed = new PlayedClient();
    changed.values = { 'pg_trgm.similarity_threshold': '0.6' };
    const of = async (client?: PlayedClient) => (await watching(false, client)).watch.source?.settings;
    expect(await of(loaded)).toBe(await of());
    expect(await of(changed)).not.toBe(await of());
  });

  it('tells parsers apart by what they are, and not by which function it is', async () => {
    const set = (parse: (text: string) => unknown) => {
      const client = new PlayedClient();
      (client._types as unknown as pg.Client).setTypeParser(20, parse);
      return client;
    };
    const of = async (client: PlayedClient) => {
      const { tally, watch } = await watching(false, client);
      expect(watch.source?.types.getTypeParser(20, 'text')).toBe(client._types.getTypeParser(20, 'text'));
      return (tally.kinds[0] as { likeness: string }).likeness;
    };
    const number = () => set((text) => Number(text));
    expect(await of(number())).toBe(await of(number()));
    expect(await of(number())).not.toBe(await of(set(BigInt)));
    expect(await of(number())).not.toBe(await of(new PlayedClient()));
  });

  it.each([
    ['an error', (client: PlayedClient) => client.answer(Object.assign(new Error('no'), { code: '42501' })), '42501'],
    ['nothing', (client: PlayedClient) => client.asked.shift()?.(null, { rows: [] }), 'no answer'],
    [
      'something else',
      (client: PlayedClient) => client.asked.shift()?.(null, { rows: [{ settings: 1 }] }),
      'no answer',
    ],
  ])('is unknown where the server answers with %s, and the connection goes on', async (_, answer, why) => {
    const client = new PlayedClient();
    const tally = new SourceTally(() => undefined);
    const opening = SourceWatch.open(client as never, identity, tally, false);
    answer(client);
    expect((await opening).source?.settings).toBeUndefined();
    expect(tally.kinds[0]).toContain(why);
  });

  it('is asked for again a few times where it was refused', async () => {
    const refusal = Object.assign(new Error('canceling statement'), { code: '57014' });
    const { client, watch } = await watching();
    watch.usedByOwner();
    for (let i = 0; i < 5; i++) {
      watch.released(idle);
      await aTick();
      client.answer(refusal);
    }
    expect(watch.source?.settings).toBeUndefined();
    watch.released(idle);
    await aTick();
    expect(client.asked).toHaveLength(0);

    const shared = new PlayedClient();
    const opening = SourceWatch.open(shared as never, identity, new SourceTally(() => undefined), true);
    shared.answer(refusal);
    shared.answer();
    expect((await opening).source?.settings).toBeDefined();
  });

  it('is unknown behind a pooler, which is not asked', async () => {
    const client = new PlayedClient();
    client.processID = PID + 1;
    const tally = new SourceTally(() => undefined);
    const watch = await SourceWatch.open(client as never, identity, tally, false);
    expect([watch.source?.settings, client.asked, tally.kinds[0]]).toEqual([
      undefined,
      [],
      expect.stringContaining('a pooler'),
    ]);
  });

  it('rejects where the connection was lost meanwhile', async () => {
    const client = new PlayedClient();
    const opening = SourceWatch.open(client as never, identity, new SourceTally(() => undefined), false);
    client._queryable = false;
    client.answer(new Error('Connection terminated'));
    await expect(opening).rejects.toThrow('Connection terminated');
    expect(client.listenerCount('end')).toBe(0);
  });

  it('is no longer known once the server reports another value, until it was asked again behind a read', async () => {
    const { client, watch } = await watching();
    const before = watch.source?.settings;
    for (const harmless of ['in_hot_standby', 'application_name']) client.report(harmless);
    expect(watch.source?.settings).toBeDefined();
    const types = watch.source?.types;
    client.report('TimeZone', 'Europe/Paris');
    expect(watch.source?.types).toBe(types);
    client.values = { TimeZone: 'Europe/Paris' };
    expect(watch.source?.settings).toBeUndefined();
    watch.released(idle);
    await aTick();
    expect(watch.source?.settings).toBeUndefined();
    client.answer();
    expect(watch.source?.settings).toMatch(/^[0-9a-f]{32}$/);
    expect(watch.source?.settings).not.toBe(before);
  });

  it('is asked for at once on a shared connection, which is never idle', async () => {
    const { client, watch } = await watching(true);
    client.report('search_path');
    client.report('TimeZone');
    expect([watch.source?.settings, client.asked.length]).toEqual([undefined, 1]);
    client.answer();
    expect(watch.source?.settings).toBeDefined();
  });

  it('is doubted after what may set something, and asked for only behind the next read', async () => {
    const { client, watch } = await watching();
    watch.runs('select 1 from offsets');
    expect(watch.source?.settings).toBeDefined();
    watch.runs("select set_config('bytea_output', 'escape', false)");
    expect(watch.source?.settings).toBeUndefined();
    watch.released(idle);
    await aTick();
    expect(client.asked).toHaveLength(0);
    watch.released(() => false);
    await aTick();
    expect(client.asked).toHaveLength(0);
    watch.released(idle);
    await aTick();
    client.answer();
    expect(watch.source?.settings).toBeDefined();
  });

  it('is doubted after the owner of the pool has used it', async () => {
    const { client, watch } = await watching();
    watch.usedByOwner();
    expect(watch.source?.settings).toBeUndefined();
    watch.released(idle);
    await aTick();
    client.answer();
    expect(watch.source?.settings).toBeDefined();
  });

  it('stays doubted where it is used again before the answer', async () => {
    const { client, watch } = await watching();
    watch.usedByOwner();
    watch.released(idle);
    await aTick();
    watch.doubt();
    client.answer();
    expect(watch.source?.settings).toBeUndefined();
  });

  it('is counted while its connection lives', async () => {
    const { client, tally, watch, sources } = await watching();
    expect(sources.current).toBe(watch.source);
    client.values = { TimeZone: 'Europe/Paris' };
    watch.usedByOwner();
    watch.released(idle);
    await aTick();
    client.answer();
    expect(tally.kinds).toHaveLength(1);
    expect(sources.current).toBe(watch.source);
    client.emit('end');
    expect([tally.kinds, watch.source?.settings]).toEqual([[], undefined]);
    expect(client.connection.listenerCount('parameterStatus')).toBe(0);
  });
});
