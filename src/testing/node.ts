// One node of a test cluster: what a test may do to it. Everything here is SQL or a word to the
// server's seam; a method resolves when what it promises can be seen on the servers, never after a
// fixed sleep.
import { type Ask, until, withConnection } from './control.js';
import { hasDiverged, timelineOf } from './divergence.js';
import { TestBackendError } from './error.js';
import { type JitterOptions, type ReplayJitter, startJitter } from './jitter.js';
import type { Link, OpenLink } from './link.js';
import * as replay from './replay.js';
import { conninfo, lastLines, type Server } from './server.js';
import { configure, type SettingChanges } from './settings.js';

export type { SettingChanges } from './settings.js';

/** What a node needs to know of its cluster. */
export interface NodeContext {
  /** All nodes of the cluster, this one included. */
  nodes(): readonly TestNode[];
  readonly link?: OpenLink | undefined;
}

const STREAMING_TIMEOUT_MILLIS = 20_000;

/**
 * A PostgreSQL server of a test cluster. Roles change; a node stays the same server at the same
 * port.
 */
export class TestNode {
  /**
   * 'primary', 'r1', 'r2', …: the role it was started with. Also its `cluster_name` and its name in
   * pg_stat_replication.
   */
  readonly name: string;
  readonly #server: Server;
  readonly #context: NodeContext;
  readonly #jitters = new Set<ReplayJitter>();
  #upstream: TestNode | undefined;

  /** @internal */
  constructor(server: Server, context: NodeContext, upstream?: TestNode) {
    this.name = server.name;
    this.#server = server;
    this.#context = context;
    this.#upstream = upstream;
  }

  /** 127.0.0.1, unless containers run on another machine. */
  get host(): string {
    return this.#context.link ? '127.0.0.1' : this.#server.host;
  }

  /** The port at `host`: the link's if the cluster was started with `links`, else the server's. */
  get port(): number {
    return this.#context.link?.port ?? this.#server.port;
  }

  /**
   * The superuser's, random and the same on all nodes: other users of the machine must not run
   * programs through the servers.
   */
  get password(): string {
    return this.#server.password;
  }

  /** `postgres://postgres:<password>@127.0.0.1:<port>/postgres`: a superuser. */
  get connectionString(): string {
    return `postgres://postgres:${this.password}@${this.host}:${this.port}/postgres`;
  }

  /**
   * The network between clients and this node.
   *
   * @throws TestBackendError `LADDER_TEST_UNSUPPORTED` unless the cluster was started with
   * `links: true`.
   */
  get link(): Link {
    if (this.#context.link) return this.#context.link;
    throw new TestBackendError(
      'LADDER_TEST_UNSUPPORTED',
      `Node ${this.name} has no link: start the cluster with startTestCluster({ links: true }).`,
    );
  }

  /** Whether the server's processes exist; a frozen one runs. */
  get running(): boolean {
    return this.#server.running;
  }

  /** What the server itself says it is. */
  role(): Promise<'primary' | 'replica'> {
    return this.#query(async (ask) => {
      const [row] = await ask<{ inRecovery: boolean }>('select pg_is_in_recovery() as "inRecovery"');
      return row?.inRecovery ? 'replica' : 'primary';
    });
  }

  /** The server's log since its first start. */
  log(): Promise<string> {
    return this.#server.log();
  }

  /**
   * Changes settings by ALTER SYSTEM and a reload; resolves when the server has read them. Those
   * that need a restart take effect with the next `restart()`.
   */
  configure(settings: SettingChanges): Promise<void> {
    return this.#query((ask) => configure(ask, this.name, settings));
  }

  /** Stops replay exactly where it is; the log is still received. Resolves once it is paused. */
  pauseReplay(): Promise<void> {
    return this.#query((ask) => replay.pause(ask, this.name));
  }

  /** Lets replay run again; resolves when the server says so. */
  resumeReplay(): Promise<void> {
    return this.#query((ask) => replay.resume(ask, this.name));
  }

  /** Replays each commit `millis` milliseconds after the primary made it, by its clock; 0 ends that. */
  delayReplay(millis: number): Promise<void> {
    return this.configure({ recovery_min_apply_delay: `${Math.round(millis)}ms` });
  }

  /** Pauses and resumes replay by a seeded schedule until the returned handle is stopped. */
  async jitterReplay(options: JitterOptions = {}): Promise<ReplayJitter> {
    const jitter = await startJitter(this.#server, options);
    this.#jitters.add(jitter);
    return jitter;
  }

  /** SIGSTOP for the server and all its processes: connections stay open, nothing is answered. */
  freeze(): Promise<void> {
    return this.#server.freeze();
  }

  /** Ends a freeze. */
  thaw(): Promise<void> {
    return this.#server.thaw();
  }

  /**
   * SIGKILL for the server and all its processes; resolves when they are gone. `restart()` brings
   * it back.
   */
  kill(): Promise<void> {
    return this.#server.kill();
  }

  /**
   * Starts the server if it is down, else shuts it down and starts it; resolves when it accepts
   * connections, at the same port.
   */
  async restart(): Promise<void> {
    if (this.#server.running) await this.#server.shutdown();
    await this.#server.start();
  }

  /**
   * On a replica: ends its replication and resolves when its receiver is gone.
   * On a primary: does so for every node that follows it.
   */
  async cutReplication(): Promise<void> {
    if (this.#upstream === undefined) {
      await Promise.all(this.#followers().map((node) => node.cutReplication()));
      return;
    }
    await this.configure({ primary_conninfo: '' });
    await this.#query((ask) =>
      until(async () => (await ask('select 1 from pg_stat_wal_receiver')).length === 0, {
        what: `${this.name} to end its replication`,
      }),
    );
  }

  /**
   * Undoes `cutReplication`; resolves when the replica (or each one that follows this primary)
   * streams again.
   */
  async restoreReplication(): Promise<void> {
    if (this.#upstream === undefined) {
      await Promise.all(this.#followers().map((node) => node.restoreReplication()));
      return;
    }
    await this.follow(this.#upstream);
  }

  /**
   * Makes a replica a primary; resolves when it accepts writes. Other nodes keep following whom
   * they follow.
   */
  async promote(): Promise<void> {
    await this.#query(async (ask) => {
      await ask('select pg_promote(false)');
      await until(async () => (await ask<{ done: boolean }>('select not pg_is_in_recovery() as done'))[0]?.done, {
        what: `${this.name} to be promoted`,
        timeoutMillis: STREAMING_TIMEOUT_MILLIS,
      });
    });
    this.#upstream = undefined;
  }

  /**
   * Makes this node a replica of `node`; resolves when it streams from there. A standby is
   * re-pointed without a restart. One that is down or no standby, or whose log went past the point
   * where `node` left it (as a rewound old primary's does), gets a fresh copy of `node`'s data:
   * what only it had is lost.
   */
  async follow(node: TestNode): Promise<void> {
    if (node === this) {
      throw new TestBackendError('LADDER_TEST_OPTIONS_INVALID', `Node ${this.name} cannot follow itself.`);
    }
    const source = node.#server;
    const { host, port } = source.peerAddress;
    if (await this.#canStreamFrom(node)) {
      await this.configure({ primary_conninfo: conninfo(host, port, this.name, this.password) });
    } else {
      await this.#server.rebuildFrom(source);
      await this.#server.start();
    }
    this.#upstream = node;
    await this.#query(async (ask) => {
      const timeline = await node.#query(timelineOf);
      const streams = async () => {
        const rows = await ask(
          `select 1 from pg_stat_wal_receiver where status = 'streaming' and received_tli = coalesce($3, received_tli)
           and conninfo ~ ('(^| )host=' || $1 || '( |$)') and conninfo ~ ('(^| )port=' || $2 || '( |$)')`,
          [host, String(port), timeline],
        );
        return rows.length > 0;
      };
      await until(streams, { what: 'streaming', timeoutMillis: STREAMING_TIMEOUT_MILLIS });
    }).catch(async (error: unknown) => {
      if (!(error instanceof TestBackendError)) throw error;
      throw new TestBackendError(
        error.code,
        `${this.name} does not stream from ${node.name} (${error.message}). Its log ends with:\n  ${lastLines(await this.log())}`,
      );
    });
  }

  /**
   * Resolves when this replica has replayed up to `lsn`: by default all that the node it follows
   * has written so far.
   *
   * @throws TestBackendError `LADDER_TEST_TIMEOUT` after `timeoutMillis` (default 10 s), naming
   * both positions.
   */
  async waitForReplay(lsn?: string, { timeoutMillis = 10_000 } = {}): Promise<void> {
    const target = lsn ?? (await this.#upstreamPosition());
    await this.#query((ask) => replay.reach(ask, this.name, target, timeoutMillis));
  }

  /**
   * @internal The timeline this node writes; undefined when it is no primary, or does not answer.
   */
  async timelineAsPrimary(): Promise<number | undefined> {
    if (!this.#server.running || this.#server.frozen) return undefined;
    const timeline = async (ask: Ask) => {
      const [row] = await ask<{ standby: boolean }>('select pg_is_in_recovery() as standby');
      return row?.standby ? undefined : timelineOf(ask);
    };
    return this.#query(timeline).catch(() => undefined);
  }

  /** @internal Ends what runs in the background, before the servers go. */
  async dispose(): Promise<void> {
    if (this.#jitters.size > 0) await this.#server.thaw(); // or it would not answer
    await Promise.all([...this.#jitters].map((jitter) => jitter.stop()));
    await this.#context.link?.close();
  }

  async #canStreamFrom(node: TestNode): Promise<boolean> {
    if (!this.#server.running || (await this.role()) === 'primary') return false;
    return this.#query((standby) => node.#query(async (source) => !(await hasDiverged(standby, source))));
  }

  async #upstreamPosition(): Promise<string> {
    if (this.#upstream === undefined) {
      throw new TestBackendError(
        'LADDER_TEST_UNSUPPORTED',
        `Node ${this.name} follows no other node: pass the LSN that it shall reach.`,
      );
    }
    return withConnection(this.#upstream.#server, replay.position);
  }

  #followers(): TestNode[] {
    return this.#context.nodes().filter((node) => node.#upstream === this);
  }

  async #query<T>(task: (ask: Ask) => Promise<T>): Promise<T> {
    if (!this.#server.running || this.#server.frozen) {
      const state = this.#server.running ? 'frozen: thaw() it' : 'down: restart() it';
      throw new TestBackendError('LADDER_TEST_UNSUPPORTED', `Node ${this.name} is ${state} first.`);
    }
    return withConnection(this.#server, task);
  }
}
