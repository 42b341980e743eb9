/**
 * Hears notifications for all listeners of a cluster, on one connection to the primary: opened when
 * the first one listens, closed when none does. It follows failovers and connects anew by itself.
 * What each listener has not taken yet, it does not keep.
 */
import { inBackground } from '../async-context.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { abortable } from '../deadline.js';
import { LadderError } from '../errors.js';
import { wordsOf } from '../nodes/fault.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { type IdentityRow, identityFrom } from '../nodes/observation.js';
import { type ListenOptions, listenSettings } from '../options/listen.js';
import { NoAnswer } from '../postgres/errors.js';
import { NotifyConnection } from '../postgres/notify-connection.js';
import { IDENTITY, WATCH_CLIENT } from '../postgres/own-statements.js';
import { AbortController, allowMany } from '../signals.js';
import { Listener, type Listening } from './listening.js';
import { CHANNEL_COUNT, checkedChannel, HEARING_SETTINGS, listenOn, unlisten } from './statements.js';

/** Another try after a failure: at first soon, then less often. */
const [FIRST_RETRY_MILLIS, LAST_RETRY_MILLIS] = [50, 2_000];
/** A server that is silent is asked so often, and has so long to answer: then its connection is taken for dead. */
const [HEARTBEAT_MILLIS, ANSWER_MILLIS] = [1_000, 3_000];
/** How long a primary is waited for before that is a fault. */
const SETTLE_MILLIS = 3_000;
/** Channels of one text. */
const BATCH_COUNT = 100;
const NONE: ReadonlySet<string> = new Set();

/** Why it does not listen, in words without values, names or addresses. */
class ListenFault extends Error {}

export class Listeners {
  readonly #fleet: Fleet;
  readonly #byChannel = new Map<string, Set<Listener>>();
  /** Channels that LISTEN is in force for, as far as is known. */
  readonly #listened = new Set<string>();
  /** Channels with a listener that waits for LISTEN. */
  readonly #due = new Set<string>();
  /** Channels for which LISTEN is under way. */
  #asked: ReadonlySet<string> = NONE;
  /** Channels whose last listener has gone. */
  readonly #left = new Set<string>();
  #running: Promise<void> | undefined;
  /** Aborts when nobody listens any more. */
  #idle = new AbortController();
  #wake: () => void = () => undefined;
  /** All that was sent before has been heard. */
  #heardUntil = 0;
  #hasBegun = false;
  #warnedOf: string | undefined;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** @throws LadderError `LADDER_INVALID_OPTIONS` */
  listen(name: string, options: ListenOptions): Listening {
    const channel = checkedChannel(name);
    const settings = listenSettings(options);
    const listener = new Listener(channel, settings, (ended) => this.#leave(ended));
    if (settings.signal?.aborted === true) {
      listener.end(settings.signal.reason);
      return listener;
    }
    const others = this.#byChannel.get(channel);
    if (others === undefined) this.#byChannel.set(channel, new Set([listener]));
    else others.add(listener);
    this.#left.delete(channel);
    this.#due.add(channel);
    this.#wake();
    this.#running ??= inBackground(() => this.#run());
    return listener;
  }

  /** Ends all listeners; resolves when the connection is closed. */
  async close(): Promise<void> {
    for (const listener of this.#all()) {
      listener.end(new LadderError('LADDER_CLOSED', 'listen: the cluster was closed before the server listened'));
    }
    await this.#running;
  }

  #all(): Listener[] {
    return [...this.#byChannel.values()].flatMap((listeners) => [...listeners]);
  }

  #leave(listener: Listener): void {
    const { channel } = listener;
    const listeners = this.#byChannel.get(channel);
    if (listeners?.delete(listener) !== true || listeners.size > 0) return;
    this.#byChannel.delete(channel);
    this.#due.delete(channel);
    if (this.#listened.has(channel)) this.#left.add(channel);
    if (this.#byChannel.size === 0) this.#idle.abort();
    this.#wake();
  }

  async #run(): Promise<void> {
    for (let failureCount = 0; this.#byChannel.size > 0; failureCount++) {
      this.#idle = new AbortController();
      allowMany(this.#idle.signal);
      this.#hasBegun = false;
      const fault = await this.#once(this.#idle.signal);
      if (this.#hasBegun) failureCount = 0;
      if (fault === undefined || this.#byChannel.size === 0) continue;
      if (!this.#hasBegun) this.#warn(fault);
      await rest(backoff(failureCount), this.#idle.signal);
    }
    this.#running = undefined;
  }

  /** Listens as long as it can, and somebody does. @returns what went wrong */
  async #once(idle: AbortSignal): Promise<unknown> {
    let connection: NotifyConnection | undefined;
    let fault: unknown;
    try {
      const node = await this.#primary(idle);
      const { epoch } = this.#fleet.history;
      connection = await this.#open(node, idle);
      await this.#serve(connection, node, () => epoch === this.#fleet.history.epoch && node === this.#fleet.primary);
    } catch (error) {
      if (!idle.aborted) fault = error;
    }
    this.#lost();
    if (connection !== undefined) connection.heard = () => undefined;
    if (fault instanceof NoAnswer) connection?.drop();
    else await connection?.close();
    return fault;
  }

  async #primary(idle: AbortSignal): Promise<Node> {
    const { history, leadership, monitor } = this.#fleet;
    this.#fleet.used(performance.now());
    const isKnown = (): boolean => leadership.isSettled && history.clusterId !== undefined;
    if (!(await monitor.until(isKnown, SETTLE_MILLIS, 'primary', idle))) throw new ListenFault('no primary is known');
    return this.#fleet.primary;
  }

  async #open({ pool }: Node, idle: AbortSignal): Promise<NotifyConnection> {
    // A process that does nothing but listen lives on.
    const opening = NotifyConnection.open(pool, 'listen', ANSWER_MILLIS, true);
    // Where it comes too late for us, nobody else would end it.
    opening.then(
      (connection) => (idle.aborted ? connection.close() : undefined),
      () => undefined,
    );
    return abortable(opening, idle);
  }

  async #serve(connection: NotifyConnection, node: Node, isSame: () => boolean): Promise<void> {
    let loss: { readonly cause: unknown } | undefined;
    void connection.ended.then((cause) => {
      loss = { cause };
      this.#wake();
    });
    if (!(await this.#identify(connection, node))) return;
    await connection.ask(HEARING_SETTINGS);
    // Not on every system can a server see that its client has gone.
    await connection.ask(WATCH_CLIENT).catch(() => undefined);
    connection.heard = (channel, payload, processId) => {
      for (const listener of this.#byChannel.get(channel) ?? []) {
        // It may come before the answer: what was missed before is told first.
        if (this.#asked.has(channel)) listener.inForce();
        listener.heard({ kind: 'notification', channel, payload, processId });
      }
    };
    while (this.#byChannel.size > 0) {
      if (!isSame()) throw new ListenFault('the primary is another one, or was started anew');
      if (loss !== undefined) throw loss.cause;
      await this.#step(connection);
    }
  }

  /** One question, where something is to be asked; a pause, where nothing is. */
  async #step(connection: NotifyConnection): Promise<void> {
    const sentAt = performance.now();
    if (this.#due.size > 0) {
      this.#asked = new Set(batchOf(this.#due));
      await connection.ask(listenOn([...this.#asked]));
      for (const channel of this.#asked) this.#inForce(channel);
      this.#asked = NONE;
    } else if (this.#left.size > 0) {
      const channels = batchOf(this.#left);
      for (const channel of channels) this.#listened.delete(channel);
      await connection.ask(unlisten(channels));
    } else if (await this.#pause(HEARTBEAT_MILLIS)) {
      return;
    } else {
      await this.#beat(connection);
      return;
    }
    this.#heardUntil = sentAt;
  }

  async #beat(connection: NotifyConnection): Promise<void> {
    // On demand nobody else looks whether the primary is another one.
    this.#fleet.used(performance.now());
    const sentAt = performance.now();
    const [row] = await connection.ask<{ count?: unknown }>(CHANNEL_COUNT);
    if (row?.count !== String(this.#listened.size))
      throw new ListenFault('the server does not listen on all channels any more');
    // What had been sent by then was delivered before the answer.
    this.#heardUntil = sentAt;
  }

  #inForce(channel: string): void {
    const listeners = this.#byChannel.get(channel);
    this.#listened.add(channel);
    if (listeners === undefined) this.#left.add(channel);
    for (const listener of listeners ?? []) listener.inForce();
    this.#hasBegun = true;
    this.#warnedOf = undefined;
  }

  /** Nothing is heard from now on, and maybe since longer. */
  #lost(): void {
    for (const listener of this.#all()) listener.lost(this.#heardUntil);
    this.#listened.clear();
    this.#asked = NONE;
    this.#left.clear();
    for (const channel of this.#byChannel.keys()) this.#due.add(channel);
  }

  /** @returns whether it leads to the primary, as it is known. Where it never can, all listeners have failed. */
  async #identify(connection: NotifyConnection, node: Node): Promise<boolean> {
    const [row] = await connection.ask<IdentityRow>(IDENTITY);
    const { clusterId, startedAt, isDirect } = identityFrom(row, connection.client);
    const { history } = this.#fleet;
    if (isDirect) {
      if (clusterId === history.clusterId && startedAt === history.startedAt) return true;
      throw new ListenFault('another server answers than the primary that is known');
    }
    const why =
      `listen: node "${node.name}" is behind a pooler, and LISTEN belongs to one process of the server: ` +
      "it needs a cluster with the servers' own addresses";
    for (const listener of this.#all()) listener.fail(new LadderError('LADDER_CANNOT_LISTEN', why));
    return false;
  }

  /** Once for each cause. */
  #warn(fault: unknown): void {
    const { publisher } = this.#fleet;
    const message = `listen: ${fault instanceof ListenFault ? fault.message : wordsOf(fault)}; it is tried again`;
    if (message === this.#warnedOf || !publisher.wants('warning')) return;
    this.#warnedOf = message;
    publisher.publish('warning', { code: 'listen', message });
  }

  /** @returns whether it was woken before */
  #pause(millis: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), millis);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

/** Resolves after so long, or when the signal aborts. It keeps the process alive. */
function rest(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, millis);
    signal.addEventListener('abort', over, { once: true });
    if (signal.aborted) over();
  });
}

function batchOf(channels: Set<string>): string[] {
  const batch = [...channels].slice(0, BATCH_COUNT);
  for (const channel of batch) channels.delete(channel);
  return batch;
}

/** With jitter, so that the processes of a cluster do not all come at once. */
function backoff(failureCount: number): number {
  return Math.min(FIRST_RETRY_MILLIS * 2 ** failureCount, LAST_RETRY_MILLIS) * (0.5 + Math.random() / 2);
}
