/** What befalls the processes of a play, and their servers. After each of them all advance again. */
import { until } from '../../behaviour/fixture.js';
import { untilCommitsWait } from '../../testing/commits-wait.js';
import { ask } from '../promoted.js';
import type { FaultedPlay } from './faulted-play.js';

export type Fault = (play: FaultedPlay) => Promise<void>;

const pause = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis));

const isGone = (play: FaultedPlay, pid: number) => async (): Promise<boolean> => {
  const node = (await play.tailer()).node;
  return (await ask(node, `select from pg_stat_activity where pid = ${pid}`)).length === 0;
};

const killed: Fault = async (play) => {
  const { player } = await play.tailer();
  await play.recovers('the one that reads was killed', () => play.remove(player));
};

const replaced: Fault = async (play) => {
  await killed(play);
  await play.recovers('another one came', () => play.add());
};

const frozen: Fault = async (play) => {
  const { player } = await play.tailer();
  const others = play.players.filter((one) => one !== player);
  await play.recovers('the one that reads was frozen', async () => player.signal('SIGSTOP'), others);
  await play.recovers('it goes on', async () => player.signal('SIGCONT'));
};

/** Its connections stay open, and nothing goes through any more. */
const cut: Fault = async (play) => {
  const { player, node } = await play.tailer();
  const link = player.links[play.servers.nodes.indexOf(node)];
  await play.recovers('its connections were forgotten', async () => link?.forget());
};

const halfOpen: Fault = async (play) => {
  const { player, node } = await play.tailer();
  const link = player.links[play.servers.nodes.indexOf(node)];
  const others = play.players.filter((one) => one !== player);
  await play.recovers('its network went half-dead', async () => link?.halfOpen(), others);
  await play.recovers('its network is back', async () => link?.restore());
};

const slot: Fault = async (play) => {
  const { node } = await play.tailer();
  await play.recovers('slots were taken', () =>
    ask(node, "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_type = 'logical'"),
  );
};

/** The one that reads is frozen, and the server keeps no more than so much for it. */
const retained: Fault = async (play) => {
  const { player, pid, node } = await play.tailer();
  const others = play.players.filter((one) => one !== player);
  await node.configure({ max_slot_wal_keep_size: '1MB', wal_keep_size: '0' });
  await play.recovers(
    'more was retained than may be',
    async () => {
      player.signal('SIGSTOP');
      for (let i = 0; i < 3; i++)
        await ask(play.primary, "select pg_switch_wal() from (select pg_logical_emit_message(false, 'x', 'y')) as w");
      await ask(node, 'checkpoint');
      await until('its slot is gone', isGone(play, pid));
    },
    others,
  );
  await play.recovers('it goes on', async () => player.signal('SIGCONT'));
  await node.configure({ max_slot_wal_keep_size: null, wal_keep_size: null });
};

const definitions: Fault = async (play) => {
  const texts = [
    'alter table orders add column note text',
    'create policy visible on orders using (true)',
    'alter table orders enable row level security',
    'alter publication pg_ladder drop table items',
    'grant select on items to pg_monitor',
    // One that decides how answers are written would keep connections from sharing any.
    'alter role app set geqo_effort = 6',
    'alter table orders disable row level security',
    'create function double(int) returns int immutable language sql as $$select $1 * 2$$',
    'drop policy visible on orders',
    'alter publication pg_ladder add table items',
    'revoke select on items from pg_monitor',
    'create role other in role app',
    'alter role app reset geqo_effort',
    'drop role other',
    'drop function double',
    'alter table orders drop column note',
  ];
  await play.recovers('definitions have changed', async () => {
    for (const text of texts) {
      await ask(play.primary, text);
      await play.define();
      await pause(20);
    }
  });
};

const emptied: Fault = async (play) => {
  await play.recovers('a table was emptied, and filled again', () =>
    ask(
      play.primary,
      `begin; lock table orders, items in access exclusive mode;
       create temp table kept on commit drop as select * from items;
       truncate items; insert into items select * from kept; commit`,
    ),
  );
};

/** Commits wait for a standby that is not there; changed definitions, too. */
const heldBack: Fault = async (play) => {
  const { primary } = play;
  await primary.configure({ synchronous_standby_names: 'nobody' });
  const probed = await untilCommitsWait(primary);
  const defined = play.define();
  await pause(1_500);
  await play.recovers('commits were held back', async () => {
    await primary.configure({ synchronous_standby_names: null });
    await Promise.all([defined, probed()]);
  });
};

const failover: Fault = async (play) => {
  const { heir, primary, servers } = play;
  await play.recovers('a replica was promoted', async () => {
    await primary.kill();
    await pause(200);
    await heir.promote();
    play.primary = heir;
    const others = servers.nodes.filter((node) => node !== heir && node !== primary);
    await Promise.all(others.map((node) => node.follow(heir)));
  });
};

const rebuilt: Fault = async (play) => {
  const { heir, primary } = play;
  await failover(play);
  await play.recovers('the old primary follows', () => primary.follow(heir));
};

export const FAULTS = {
  replaced,
  frozen,
  cut,
  halfOpen,
  slot,
  retained,
  definitions,
  emptied,
  heldBack,
  rebuilt,
} satisfies Record<string, Fault>;

/** Those that cost least. */
export const SHORT_FAULTS: readonly Fault[] = [killed, definitions, heldBack, failover];
