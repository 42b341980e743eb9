// The seam between a test cluster and whatever runs its servers: local processes or containers. A
// `Server` can be started, killed, frozen and rebuilt; what can be said in SQL is not its business.

/**
 * Names and values for postgresql.conf. `null` (in `configure`) takes a setting back to its
 * default.
 */
export type Settings = Readonly<Record<string, string | number | boolean>>;

/** What a backend must know about one server before it starts it. */
export interface ServerPlan {
  readonly name: string;
  readonly settings: Settings;
}

/** One PostgreSQL server, seen from outside. Every method resolves when what it says is true. */
export interface Server {
  readonly name: string;
  /** Where clients on this machine reach it: the same for the server's whole life. */
  readonly host: string;
  readonly port: number;
  /** Of the superuser postgres, on all servers of the cluster. */
  readonly password: string;
  /** Where the other servers of the cluster reach this one. */
  readonly peerAddress: { readonly host: string; readonly port: number };
  readonly running: boolean;
  readonly frozen: boolean;
  /** Starts a server that is down; resolves when it accepts connections. */
  start(): Promise<void>;
  /** Fast shutdown. */
  shutdown(): Promise<void>;
  /** SIGKILL for the server and all its processes. */
  kill(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /**
   * Stops the server and makes it, not yet started, a standby with a fresh copy of `source`'s data.
   */
  rebuildFrom(source: Server): Promise<void>;
  /** The server's log since its first start. */
  log(): Promise<string>;
}

/** The servers of one cluster, and the way to get rid of all they have left on the machine. */
export interface Fleet {
  readonly servers: readonly Server[];
  /** Idempotent. Never throws for a server that is already gone. */
  dispose(): Promise<void>;
}

/** Something that can run PostgreSQL servers. */
export interface Backend {
  readonly name: BackendName;
  /** PostgreSQL version as far as it is known, such as '18.4' or '18'. */
  readonly version: string;
  /** Starts a primary (the first plan) and its replicas; resolves when all accept connections. */
  launch(plans: readonly ServerPlan[]): Promise<Fleet>;
}

/** Where the servers of a test cluster come from. */
export type BackendName = 'embedded' | 'path' | 'testcontainers';

/** The last lines of a server's log, indented, for an error message. */
export function lastLines(log: string, count = 20): string {
  return log.trimEnd().split('\n').slice(-count).join('\n  ');
}

/** How a standby named `name` reaches the server it follows. */
export function conninfo(host: string, port: number, name: string, password: string): string {
  return `host=${host} port=${port} user=postgres password=${password} application_name=${name}`;
}
