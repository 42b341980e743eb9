/**
 * A program before a server that gives its clients keys of its own, as poolers do: by them it knows
 * whom a cancel request means. All else passes through.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const KEY_DATA = 'K'.charCodeAt(0);
/** Type, and length with itself. */
const HEAD_BYTES = 5;

export class OwnKeys implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#server = createServer((client) => {
      const server = connect(target);
      for (const socket of [client, server]) {
        this.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          client.destroy();
          server.destroy();
        });
      }
      client.pipe(server);
      relabel(server, client);
    });
  }

  static async before(target: { readonly host: string; readonly port: number }): Promise<OwnKeys> {
    const program = new OwnKeys(target);
    await new Promise<void>((resolve) => {
      program.#server.listen(0, '127.0.0.1', resolve);
    });
    return program;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }
}

/** Passes on what a server says. Its key comes before anything else of that type. */
function relabel(server: Socket, client: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  let isDone = false;
  server.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (!isDone && rest.length >= HEAD_BYTES && rest.length > rest.readInt32BE(1)) {
      const size = 1 + rest.readInt32BE(1);
      if (rest[0] === KEY_DATA) {
        rest.writeInt32BE(rest.readInt32BE(HEAD_BYTES) + 1_000_000, HEAD_BYTES);
        isDone = true;
      }
      client.write(rest.subarray(0, size));
      rest = rest.subarray(size);
    }
    if (!isDone || rest.length === 0) return;
    client.write(rest);
    rest = Buffer.alloc(0);
  });
}
