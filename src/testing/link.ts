// The network between clients and one node: a TCP proxy that can be slow, silent or broken. Decides
// when bytes go on, never which: nothing is parsed, changed or lost, except by reset(). Replication
// does not pass through it.
import { type AddressInfo, connect, createServer, type Socket, type Server as TcpServer } from 'node:net';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import type { Address } from './control.js';

/**
 * Faults of the network in front of one node. Each replaces the one before, for open and new
 * connections alike.
 */
export interface Link {
  /** Port on 127.0.0.1 that clients connect to. */
  readonly port: number;
  /**
   * Whatever the server sends arrives `millis` later: each round trip takes that much longer.
   * Throughput stays.
   */
  delay(millis: number): void;
  /** Whatever the server sends arrives in pieces of `bytes`, one each `everyMillis`. */
  drip(pace: { readonly bytes: number; readonly everyMillis: number }): void;
  /**
   * Connections stay open and new ones are accepted, but nothing goes through in either direction,
   * not even an end.
   */
  halfOpen(): void;
  /**
   * Forgets the connections that are open now, as a firewall does after a while: they stay open,
   * and nothing goes through any more, for good. New ones are sound.
   */
  forget(): void;
  /** Resets (RST) all connections, and each new one as soon as it is made. */
  reset(): void;
  /** A sound network again; what `halfOpen`, `delay` or `drip` held back is delivered. */
  restore(): void;
}

type Fault =
  | { readonly kind: 'none' | 'halfOpen' | 'reset' }
  | { readonly kind: 'delay'; readonly millis: number }
  | { readonly kind: 'drip'; readonly bytes: number; readonly everyMillis: number };

/**
 * Beyond this much held back, a direction is no longer read, as a full TCP window would have it.
 */
const HELD_BACK_BYTES = 256 * 1024;

/** A `Link` and what its cluster does with it. */
export interface OpenLink extends Link {
  close(): Promise<void>;
}

/** Opens a link to the server at `target`. */
export async function openLink(target: Address): Promise<OpenLink> {
  const link = new TcpLink(target);
  await link.listen();
  return link;
}

class TcpLink implements OpenLink {
  readonly #target: Address;
  readonly #listener: TcpServer;
  readonly #connections = new Set<Connection>();
  readonly #forgotten = new Set<Connection>();
  #fault: Fault = { kind: 'none' };

  constructor(target: Address) {
    this.#target = target;
    // An end of one direction is passed on like any other byte, when its turn comes.
    this.#listener = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject);
      this.#listener.listen(0, '127.0.0.1', () => resolve());
      this.#listener.unref();
    });
  }

  get port(): number {
    return (this.#listener.address() as AddressInfo).port;
  }

  delay(millis: number): void {
    this.#become({ kind: 'delay', millis });
  }

  drip({ bytes, everyMillis }: { readonly bytes: number; readonly everyMillis: number }): void {
    this.#become({ kind: 'drip', bytes, everyMillis });
  }

  halfOpen(): void {
    this.#become({ kind: 'halfOpen' });
  }

  forget(): void {
    for (const connection of this.#connections) {
      connection.apply({ kind: 'halfOpen' });
      this.#forgotten.add(connection);
    }
    this.#connections.clear();
  }

  reset(): void {
    this.#become({ kind: 'reset' });
  }

  restore(): void {
    this.#become({ kind: 'none' });
  }

  async close(): Promise<void> {
    for (const connection of [...this.#connections, ...this.#forgotten]) connection.reset();
    await new Promise<void>((resolve) => this.#listener.close(() => resolve()));
  }

  #become(fault: Fault): void {
    this.#fault = fault;
    for (const connection of this.#connections) connection.apply(fault);
  }

  #accept(client: Socket): void {
    if (this.#fault.kind === 'reset') {
      client.on('error', () => {});
      client.resetAndDestroy();
      return;
    }
    const connection = new Connection(client, this.#target, () => {
      this.#connections.delete(connection);
      this.#forgotten.delete(connection);
    });
    this.#connections.add(connection);
    connection.apply(this.#fault);
  }
}

/**
 * One client's connection and, once the link lets anything through, its other half to the server.
 */
class Connection {
  readonly #client: Socket;
  readonly #target: Address;
  readonly #gone: () => void;
  readonly #request: Direction;
  #server: Socket | undefined;
  #answer: Direction | undefined;
  #fault: Fault = { kind: 'halfOpen' };
  #broken = false;

  constructor(client: Socket, target: Address, gone: () => void) {
    this.#client = client;
    this.#target = target;
    this.#gone = gone;
    client.setNoDelay(true);
    client.on('error', () => this.#break());
    client.on('close', () => this.#closed());
    this.#request = new Direction(client);
  }

  apply(fault: Fault): void {
    this.#fault = fault;
    if (fault.kind === 'halfOpen') {
      this.#request.hold();
      this.#answer?.hold();
      return;
    }
    if (this.#broken || fault.kind === 'reset') {
      this.reset();
      return;
    }
    if (this.#server === undefined) this.#connect();
    // Towards the server the network is always quick, so that a round trip is as late as `delay`
    // says.
    this.#request.flow({ kind: 'none' });
    this.#answer?.flow(fault);
  }

  /** RST for the client; the server sees its end of it. */
  reset(): void {
    this.#request.discard();
    this.#answer?.discard();
    this.#client.resetAndDestroy();
    this.#server?.destroy();
    this.#gone();
  }

  #connect(): void {
    const server = connect({ host: this.#target.host, port: this.#target.port, allowHalfOpen: true });
    server.setNoDelay(true);
    server.on('error', () => this.#break());
    server.on('close', () => this.#closed());
    this.#server = server;
    this.#answer = new Direction(server);
    this.#answer.to(this.#client);
    this.#request.to(server);
  }

  /** One side is broken: the other hears of it, unless nothing goes through. */
  #break(): void {
    this.#broken = true;
    if (this.#fault.kind !== 'halfOpen') this.reset();
  }

  #closed(): void {
    if (this.#client.destroyed && (this.#server?.destroyed ?? true)) this.#gone();
  }
}

/** What one socket says, on its way to the other. */
class Direction {
  readonly #from: Socket;
  readonly #queue: { bytes: Buffer; readonly arrivedAt: number }[] = [];
  #to: Socket | undefined;
  #fault: Fault = { kind: 'halfOpen' };
  #timer: NodeJS.Timeout | undefined;
  #heldBytes = 0;
  #ended = false;

  constructor(from: Socket) {
    this.#from = from;
    from.on('data', (bytes) => {
      this.#queue.push({ bytes, arrivedAt: performance.now() });
      this.#heldBytes += bytes.length;
      if (this.#heldBytes > HELD_BACK_BYTES) from.pause();
      this.#schedule(0);
    });
    from.on('end', () => {
      this.#ended = true;
      this.#schedule(0);
    });
  }

  to(socket: Socket): void {
    this.#to = socket;
    socket.on('drain', () => this.#schedule(0));
  }

  hold(): void {
    this.#fault = { kind: 'halfOpen' };
    this.#cancel();
  }

  flow(fault: Fault): void {
    this.#fault = fault;
    this.#cancel();
    this.#schedule(0);
  }

  discard(): void {
    this.hold();
    this.#queue.length = 0;
  }

  #schedule(millis: number): void {
    if (this.#timer !== undefined || this.#fault.kind === 'halfOpen') return;
    if (millis > 0) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        this.#pass();
      }, millis);
    } else {
      this.#pass();
    }
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Passes on what is due; comes back by timer or by 'drain' for the rest. */
  #pass(): void {
    const to = this.#to;
    const fault = this.#fault;
    if (to === undefined) return;
    for (let head = this.#queue[0]; head !== undefined; head = this.#queue[0]) {
      if (to.destroyed || to.writableNeedDrain) return;
      const late = fault.kind === 'delay' ? head.arrivedAt + fault.millis - performance.now() : 0;
      if (late > 0) {
        this.#schedule(Math.ceil(late));
        return;
      }
      const piece = fault.kind === 'drip' ? head.bytes.subarray(0, fault.bytes) : head.bytes;
      head.bytes = head.bytes.subarray(piece.length);
      if (head.bytes.length === 0) this.#queue.shift();
      this.#heldBytes -= piece.length;
      if (this.#heldBytes <= HELD_BACK_BYTES) this.#from.resume();
      to.write(piece);
      if (fault.kind === 'drip') {
        this.#schedule(fault.everyMillis);
        return;
      }
    }
    if (this.#ended && !to.writableEnded) to.end();
  }
}
