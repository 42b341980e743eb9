import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

/** A port that leads to a server once it was opened, and breaks every connection before. */
export class Gate implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isOpen = false;

  private constructor(target: number) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket.on('error', () => undefined));
      if (!this.#isOpen) socket.destroy();
      else pipeline(socket, this.#kept(connect(target, '127.0.0.1')), socket, () => undefined);
    });
  }

  static async before(target: number): Promise<Gate> {
    const gate = new Gate(target);
    await new Promise<void>((resolve) => gate.#server.listen(0, '127.0.0.1', resolve));
    return gate;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  open(): void {
    this.#isOpen = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #kept(socket: Socket): Socket {
    this.#sockets.add(socket);
    return socket;
  }
}
