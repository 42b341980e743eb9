/**
 * Who belongs to the cluster beside the servers that it was given: asks the discovery time and again, and tells who joins and who leaves. What becomes of their traffic is not
 * its business.
 */

import type pg from 'pg';
import { inBackground } from '../async-context.js';
import { clearTimeout, performance, setTimeout } from '../clock.js';
import { Deadline } from '../deadline.js';
import { LadderError, wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import type { Settings } from '../options/cluster.js';
import type { Discovery, DiscoveryContext } from '../options/discovery.js';
import { type FoundServer, foundServers, MAX_SERVERS, type RefusedServer } from '../options/found-servers.js';
import type { NodeSettings } from '../options/servers.js';
import type { Publisher } from '../publisher.js';
import { AbortController } from '../signals.js';

/** What is told of a discovery. */
export interface DiscoveryStats {
  /** Servers that it has found, beside those that were given. */
  readonly nodeCount: number;
  /** When it last gave a list, in epoch milliseconds; `undefined` before the first. */
  readonly answeredAt: number | undefined;
  /** Why its last answer could not be used, or some of the servers in it; `undefined` when all could. */
  readonly problem: string | undefined;
}

/** Who carries out what was found. */
export interface MembershipListener {
  joined(settings: NodeSettings): void;
  /** Nothing else of it may have changed. */
  stays(name: string, labels: Pick<NodeSettings, 'weight' | 'zone'>): void;
  /**
   * @param isElsewhere whether a server of that name is in another place now
   * @returns whether it went: the primary stays as long as no other is known, unless it does not answer and is elsewhere
   */
  left(name: string, isElsewhere: boolean): boolean;
  readonly ask: DiscoveryContext['ask'];
  /** The first answer has come, or will not. */
  asked(): void;
}

/** A server whose name has been missing from so many answers in a row has left: one answer may be a moment's. */
const MISSES = 2;
/** How many servers one message names. */
const TOLD_AT_ONCE = 3;
const PATIENCE_MILLIS = 10_000;
/** While no server takes writes. */
const SEEKING_MILLIS = 1_000;

interface Member {
  readonly place: string | pg.Pool;
  misses: number;
}

export class Membership {
  readonly #settings: Settings;
  readonly #publisher: Publisher;
  readonly #listener: MembershipListener;
  readonly #members = new Map<string, Member>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #answeredAt: number | undefined;
  #problem: string | undefined;
  readonly #toldRefused = new Set<string>();
  #isAsking = false;
  #wasAsked: boolean;

  constructor(settings: Settings, publisher: Publisher, listener: MembershipListener) {
    this.#settings = settings;
    this.#publisher = publisher;
    this.#listener = listener;
    this.#wasAsked = settings.discovery === undefined;
  }

  /** Whether the first answer is no longer awaited: it came, or none can come. */
  get wereAsked(): boolean {
    return this.#wasAsked;
  }

  get stats(): DiscoveryStats | undefined {
    if (this.#settings.discovery === undefined) return undefined;
    return { nodeCount: this.#members.size, answeredAt: this.#answeredAt, problem: this.#problem };
  }

  /** Whether a server of that name was found. */
  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** Asks when it is time to. @param isSeeking whether no server takes writes, so that it is time sooner */
  look(now: number, isSeeking: boolean): void {
    const { discovery, discoveryMillis } = this.#settings;
    const pause = isSeeking ? Math.min(SEEKING_MILLIS, discoveryMillis) : discoveryMillis;
    if (discovery === undefined || this.#isAsking || this.#closing.signal.aborted || now - this.#askedAt < pause)
      return;
    this.#askedAt = now;
    this.#isAsking = true;
    void inBackground(() => this.#ask(discovery)).finally(() => {
      this.#isAsking = false;
      this.#arm();
    });
  }

  close(): void {
    this.#closing.abort(new Error('the cluster was closed'));
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#closing.signal.aborted || this.#settings.monitor === 'onDemand') return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(performance.now(), false), this.#settings.discoveryMillis).unref();
  }

  async #ask(discovery: Discovery): Promise<void> {
    const patience = new Deadline({
      millis: PATIENCE_MILLIS,
      signal: this.#closing.signal,
      late: () => new LadderError('LADDER_TIMEOUT', 'it gave no answer within 10 s'),
      isIdle: true,
    });
    try {
      const answer = await answered(discovery, { signal: patience.signal, ask: this.#listener.ask });
      if (this.#closing.signal.aborted) return;
      const { nodes, foundLane: lane, inheritCredentials } = this.#settings;
      const { servers, refused } = foundServers(answer, nodes, { lane, inheritCredentials });
      this.#apply(servers);
      this.#answeredAt = Date.now();
      this.#problem = refused.length === 0 ? undefined : notJoined(refused);
      this.#tellRefused(refused);
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#failed(error);
    } finally {
      patience.close();
      if (!this.#wasAsked) {
        this.#wasAsked = true;
        this.#listener.asked();
      }
    }
  }

  #apply(found: readonly FoundServer[]): void {
    const names = new Set(found.map(({ name }) => name));
    for (const server of found) {
      const { name, place, weight, zone } = server;
      const member = this.#members.get(name);
      if (member?.place === place) {
        member.misses = 0;
        this.#listener.stays(name, { weight, zone });
      } else if (member === undefined || this.#remove(name, true)) {
        const settings = server.open();
        this.#members.set(name, { place, misses: 0 });
        this.#listener.joined(settings);
        this.#tell(name, 'joined');
      }
    }
    for (const [name, member] of this.#members) {
      if (!names.has(name) && ++member.misses >= MISSES) this.#remove(name, false);
    }
  }

  #remove(name: string, isElsewhere: boolean): boolean {
    if (!this.#listener.left(name, isElsewhere)) return false;
    this.#members.delete(name);
    this.#tell(name, 'left');
    return true;
  }

  #tell(node: string, change: 'joined' | 'left'): void {
    if (this.#publisher.wants('membership')) this.#publisher.publish('membership', { node, change });
  }

  /** Once for each server, however often it is found. */
  #tellRefused(refused: readonly RefusedServer[]): void {
    const untold = refused.filter(({ who }) => !this.#toldRefused.has(who));
    if (untold.length === 0) return;
    // Who names other servers all the time must not fill the memory.
    if (this.#toldRefused.size > MAX_SERVERS) this.#toldRefused.clear();
    for (const { who } of untold) this.#toldRefused.add(who);
    if (!this.#publisher.wants('warning')) return;
    this.#publisher.publish('warning', { code: 'discovery', message: notJoined(untold) });
  }

  /** Somebody else's message may say anything, passwords included. */
  #failed(error: unknown): void {
    const why = wordFor(error);
    const isNew = why !== this.#problem;
    this.#problem = why;
    if (!isNew || !this.#publisher.wants('warning')) return;
    const message = `the discovery gave no list of servers that could be used, and nothing changes: ${why}`;
    this.#publisher.publish('warning', becauseOf(error, { code: 'discovery', message }));
  }
}

function notJoined(refused: readonly RefusedServer[]): string {
  const [first] = refused as [RefusedServer];
  const named = refused.slice(0, TOLD_AT_ONCE).map(({ who }) => who);
  const more = refused.length > named.length ? ` and ${refused.length - named.length} more` : '';
  return `the discovery found ${named.join(', ')}${more}, not joined: ${first.why}`;
}

function answered(discovery: Discovery, context: DiscoveryContext): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const { signal } = context;
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    // Also what it throws at once.
    Promise.resolve(context).then(discovery).then(resolve, reject);
  });
}
