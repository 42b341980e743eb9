/**
 * A server that speaks PostgreSQL's protocol and answers whatever the test wants: the frames are PostgreSQL's, what stands in them is not. It stands beside real servers as one that was
 * listed by mistake, found by a discovery that was deceived, or taken over.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { complete, cstring, described, failure, message, type Rows, ready, row } from './wire-messages.js';

/** `hang`: no answer, ever. `close`: the connection ends. An error by its SQLSTATE. Bytes are sent as they are. */
export type Answer = Rows | Buffer | 'hang' | 'close' | { readonly sqlstate: string };

export const TEXT = 25;
export const BOOL = 16;
export const INT4 = 23;

export interface Identity {
  readonly clusterId: string;
  readonly startedAt: string;
}

/** What an honest server would say of itself. */
export interface Said extends Identity {
  readonly inRecovery: boolean;
  readonly timeline: number;
  readonly lsn: string;
  /** Where it was promoted. */
  readonly forkLsn?: string | null;
  readonly version?: number;
}

/** On which connection it is asked. */
export interface Asked {
  readonly pid: number;
  /** Whether something was asked on it that the library does not ask by itself. */
  isUsers: boolean;
}

export class PlayedServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Statements that are not the library's own. */
  readonly statements: string[] = [];
  answerCount = 0;
  connectionCount = 0;
  /** What it answers to each text; `undefined` for the honest answer. */
  answer: (text: string, said: Said, connection: Asked) => Answer | undefined = () => undefined;
  said: Said;

  private constructor(server: Server, said: Said) {
    this.#server = server;
    this.said = said;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async start(said: Said, port = 0): Promise<PlayedServer> {
    const server = createServer();
    const played = new PlayedServer(server, said);
    await new Promise<void>((resolve) => {
      server.listen(port, '127.0.0.1', resolve);
    });
    return played;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get connectionString(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** Every connection breaks. */
  reset(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => {
      this.#server.close(resolve);
    });
    this.reset();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.stop();
  }

  #serve(socket: Socket): void {
    const connection: Asked = { pid: (++this.connectionCount % 30_000) + 1, isUsers: false };
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    const prepared = new Map<string, string>();
    let portal = '';
    let isStarted = false;
    let isHung = false;
    let pending: Buffer = Buffer.alloc(0);
    const reply = (text: string, isSimple: boolean): void => {
      const answer = this.#answerTo(text, connection);
      if (answer === 'hang') isHung = true;
      else if (answer === 'close') socket.destroy();
      else if (Buffer.isBuffer(answer)) socket.write(answer);
      else if ('sqlstate' in answer) socket.write(failure(answer.sqlstate));
      else
        socket.write(
          Buffer.concat([...(isSimple ? [described(answer)] : []), ...answer.rows.map(row), complete(answer)]),
        );
      if (isSimple && !isHung && !socket.destroyed) socket.write(ready);
    };
    const handle = (type: string, body: Buffer): void => {
      if (isHung) return;
      switch (type) {
        case 'Q':
          reply(cstring(body, 0), true);
          return;
        case 'P': {
          const name = cstring(body, 0);
          prepared.set(name, cstring(body, Buffer.byteLength(name) + 1));
          socket.write(message('1'));
          return;
        }
        case 'B':
          portal = prepared.get(cstring(body, Buffer.byteLength(cstring(body, 0)) + 1)) ?? '';
          socket.write(message('2'));
          return;
        case 'D': {
          const answer = this.#peek(portal, connection);
          socket.write(answer === undefined ? message('n') : described(answer));
          return;
        }
        case 'E':
          reply(portal, false);
          return;
        case 'C':
          socket.write(message('3'));
          return;
        case 'S':
          socket.write(ready);
          return;
        case 'X':
          socket.end();
          return;
        default:
      }
    };
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        if (!isStarted) {
          if (pending.length < 8 || pending.length < pending.readInt32BE(0)) return;
          const code = pending.readInt32BE(4);
          pending = pending.subarray(pending.readInt32BE(0));
          if (code === 80877103) socket.write('N');
          else if (code === 80877102) socket.destroy();
          else {
            isStarted = true;
            socket.write(this.#greeting(connection.pid));
          }
          continue;
        }
        if (pending.length < 5 || pending.length < 1 + pending.readInt32BE(1)) return;
        const end = 1 + pending.readInt32BE(1);
        const [type, body] = [pending.toString('latin1', 0, 1), pending.subarray(5, end)];
        pending = pending.subarray(end);
        handle(type, body);
      }
    });
  }

  #greeting(pid: number): Buffer {
    const key = Buffer.alloc(8);
    key.writeInt32BE(pid, 0);
    return Buffer.concat([
      message('R', Buffer.alloc(4)),
      message('S', Buffer.from('server_version\u000018.4\u0000')),
      message('S', Buffer.from('client_encoding\u0000UTF8\u0000')),
      message('K', key),
      ready,
    ]);
  }

  #peeked: { readonly text: string; readonly answer: Answer } | undefined;

  /** The columns are told before the rows, and belong to the same answer. */
  #peek(text: string, connection: Asked): Rows | undefined {
    const answer = this.#answerTo(text, connection);
    this.#peeked = { text, answer };
    return typeof answer === 'object' && 'rows' in answer ? answer : undefined;
  }

  #answerTo(text: string, connection: Asked): Answer {
    const peeked = this.#peeked;
    this.#peeked = undefined;
    if (peeked?.text === text) return peeked.answer;
    this.answerCount++;
    if (!isOwn(text)) {
      this.statements.push(text);
      connection.isUsers = true;
    }
    return this.answer(text, this.said, connection) ?? honest(text, this.said, connection.pid);
  }
}

/** Whether the library asks by itself. */
export function isOwn(text: string): boolean {
  return text.includes('pg_catalog');
}

export function honest(text: string, said: Said, pid: number): Answer {
  if (text.includes('system_identifier')) return identity(said, pid);
  if (text.includes('wal_file')) return place(said);
  if (text.includes('received_tli'))
    return { columns: [{ name: 'timeline', oid: INT4 }], rows: [[String(said.timeline)]] };
  if (text.includes('is_capped'))
    return {
      columns: [
        { name: 'is_capped', oid: BOOL },
        { name: 'set_config', oid: TEXT },
      ],
      rows: [['t', '250ms']],
    };
  if (text.includes('pg_current_snapshot'))
    return {
      columns: [
        { name: 'next', oid: TEXT },
        { name: 'unfinished', oid: 1009 },
      ],
      rows: [['1000', '{}']],
    };
  return { columns: [{ name: 'v', oid: TEXT }], rows: [] };
}

export function identity({ clusterId, startedAt, version = 180_004 }: Said, pid: number): Rows {
  return {
    columns: [
      { name: 'cluster_id', oid: TEXT },
      { name: 'started_at', oid: TEXT },
      { name: 'version', oid: TEXT },
      { name: 'block_bytes', oid: TEXT },
      { name: 'segment_bytes', oid: INT4 },
      { name: 'pid', oid: INT4 },
    ],
    rows: [[clusterId, startedAt, String(version), '8192', '16777216', String(pid)]],
  };
}

export function place({ inRecovery, timeline, lsn, forkLsn = null }: Said): Rows {
  const file = `${timeline.toString(16).padStart(8, '0').toUpperCase()}0000000000000003`;
  return {
    columns: [
      { name: 'in_recovery', oid: BOOL },
      { name: 'replay_lsn', oid: TEXT },
      { name: 'insert_lsn', oid: TEXT },
      { name: 'flush_lsn', oid: TEXT },
      { name: 'wal_file', oid: TEXT },
    ],
    rows: [inRecovery ? ['t', lsn, null, null, null] : ['f', forkLsn, lsn, lsn, file]],
  };
}
