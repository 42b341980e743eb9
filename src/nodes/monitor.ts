/**
 * When each server is asked where it stands: often while a read waits for a replica, now and then under traffic, seldom when
 * idle; with many servers each of them less often. Its timer keeps no process alive; on demand there is none.
 */
import { clearTimeout, performance, setTimeout } from '../clock.js';
import type { Settings } from '../options/cluster.js';
import type { Heartbeat } from './heartbeat.js';
import type { Node } from './node.js';

/** While reads wait: a replica's position is what they wait for, the primary's only dates it. */
const AWAITED_REPLICA_MILLIS = 3;
const AWAITED_PRIMARY_MILLIS = 50;
/** After a write, so that its position is mostly known, and tight, by the time a read asks; shared by all writes in between. */
const AFTER_WRITE_MILLIS = 25;
const RETRY_MILLIS = 50;
/** A timer may be early by as much. */
const TIMER_MILLIS = 5;
/** While somebody waits for a primary, every node is asked that often, also those that do not answer. */
const SEEKING_MILLIS = 50;

/** How long each server adds to everybody's turn, which counts where there are many: at most 200 questions a second under traffic, 33 when idle. */
const SPACING_MILLIS = { used: 5, idle: 30 };

/** What somebody waits for: the positions of these replicas, a server that takes writes, or whatever comes by itself. */
export type Wanted = readonly Node[] | 'primary' | 'anything';

interface Plan {
  readonly node: Node;
  dueAt: number;
  asking: boolean;
  failures: number;
  /** Whether an answer is wanted that was asked for from now on. */
  isUrgent: boolean;
}

export class Monitor {
  readonly #settings: Settings;
  readonly #heartbeat: Heartbeat;
  #plans: readonly Plan[] = [];
  readonly #ticked: () => void;
  readonly #waiting = new Set<() => void>();
  readonly #resting = new Set<() => void>();
  /** How many wait for each replica's position. */
  readonly #awaited = new Map<Node, number>();
  #seekingCount = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #usedAt = performance.now();
  #stopped = false;

  /** @param ticked called now and then while nodes are asked */
  constructor(nodes: readonly Node[], settings: Settings, heartbeat: Heartbeat, ticked: () => void) {
    this.#settings = settings;
    this.#heartbeat = heartbeat;
    this.#ticked = ticked;
    this.watch(nodes);
  }

  /** From now on these, and no others. */
  watch(nodes: readonly Node[]): void {
    const known = new Map(this.#plans.map((plan) => [plan.node, plan]));
    this.#plans = nodes.map(
      (node) => known.get(node) ?? { node, dueAt: 0, asking: false, failures: 0, isUrgent: true },
    );
    if (known.size > 0) this.#arm();
  }

  start(): void {
    if (this.#settings.monitor === 'timer') this.#tick();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    for (const wake of this.#waiting) wake();
    for (const over of this.#resting) over();
  }

  /** The cluster is in use; called for every statement. @param now our monotonic clock */
  used(now: number): void {
    const wasIdle = this.#isIdle(now);
    this.#usedAt = now;
    if (this.#settings.monitor === 'onDemand') this.#askWhoIsDue(now);
    if (!wasIdle) return;
    for (const plan of this.#plans) plan.dueAt = Math.min(plan.dueAt, now + this.#pause(plan));
    this.#arm();
  }

  /** On demand nothing else asks while statements are under way. */
  askOnDemand(now: number): void {
    if (this.#settings.monitor === 'onDemand') this.#askWhoIsDue(now);
  }

  /** A write has returned: its position will be asked for. */
  wrote(primary: Node, now: number): void {
    this.#hasten(primary, now + AFTER_WRITE_MILLIS);
  }

  /** A node has become unknown. */
  lost(node: Node): void {
    this.#hasten(node, performance.now() + RETRY_MILLIS);
  }

  /** Something has changed: those who wait look again. */
  wake(): void {
    for (const wake of this.#waiting) wake();
  }

  /** Something is wrong with the primary: everybody is asked now. */
  hastenAll(): void {
    const now = performance.now();
    for (const plan of this.#plans) {
      if (plan.failures > 0) continue;
      plan.dueAt = Math.min(plan.dueAt, now);
      plan.isUrgent = true;
    }
    this.#arm();
  }

  /**
   * Asks the nodes in quick succession until `reached` holds, `timeoutMillis` have passed in which the process ran, or `signal` aborts; who wants just `anything`
   * waits for what others ask. @returns whether it was reached
   */
  async until(reached: () => boolean, timeoutMillis: number, wanted: Wanted, signal?: AbortSignal): Promise<boolean> {
    if (reached() || this.#stopped || signal?.aborted === true) return reached();
    let wake = (): void => undefined;
    let giveUp = (): void => undefined;
    let timer: NodeJS.Timeout | undefined;
    this.#want(wanted, 1);
    await new Promise<void>((resolve) => {
      giveUp = resolve;
      wake = () => {
        if (reached() || this.#stopped) resolve();
      };
      const now = performance.now();
      const giveUpAt = this.#heartbeat.awake(now) + timeoutMillis;
      const timeOut = (): void => {
        const left = giveUpAt - this.#heartbeat.awake(performance.now());
        if (left > TIMER_MILLIS) timer = setTimeout(timeOut, left);
        else resolve();
      };
      timer = setTimeout(timeOut, Math.max(0, timeoutMillis));
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(wake);
      for (const plan of this.#plans) plan.dueAt = Math.min(plan.dueAt, now + this.#pause(plan));
      this.#arm();
    });
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
    this.#waiting.delete(wake);
    this.#want(wanted, -1);
    return reached();
  }

  /** Resolves after so long, or when it is stopped; holds no process alive meanwhile. */
  rest(millis: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(timer);
        this.#resting.delete(over);
        resolve();
      };
      const timer = setTimeout(over, millis).unref();
      this.#resting.add(over);
    });
  }

  #want(wanted: Wanted, by: 1 | -1): void {
    if (wanted === 'primary') this.#seekingCount += by;
    if (typeof wanted === 'string') return;
    for (const node of wanted) {
      const count = (this.#awaited.get(node) ?? 0) + by;
      if (count === 0) this.#awaited.delete(node);
      else this.#awaited.set(node, count);
    }
  }

  #hasten(node: Node, at: number): void {
    for (const plan of this.#plans) {
      if (plan.node !== node || plan.dueAt <= at) continue;
      plan.dueAt = at;
      plan.isUrgent = true;
      this.#arm();
    }
  }

  #tick(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#askWhoIsDue(performance.now());
    for (const { node } of this.#plans) node.health.assess('time has passed');
    this.#ticked();
    this.#arm();
  }

  #askWhoIsDue(now: number): void {
    for (const plan of this.#plans) {
      if (plan.dueAt > now || plan.asking) continue;
      // What came along with a read is as good as an answer of its own.
      const seenAt = plan.isUrgent ? undefined : plan.node.observation?.sentAt;
      const nextAt = (seenAt ?? Number.NEGATIVE_INFINITY) + this.#pause(plan);
      if (nextAt > now) plan.dueAt = nextAt;
      else this.#ask(plan);
    }
  }

  #isIdle(now: number): boolean {
    return now - this.#usedAt > this.#settings.idleProbeMillis;
  }

  #ask(plan: Plan): void {
    plan.asking = true;
    plan.isUrgent = false;
    plan.node.probe
      .observe()
      .then(
        () => {
          plan.failures = 0;
        },
        () => {
          plan.failures++;
        },
      )
      .finally(() => {
        plan.asking = false;
        plan.dueAt = performance.now() + this.#pause(plan);
        this.#arm();
      });
  }

  /** How long to leave a node alone after an answer. */
  #pause({ node, failures }: Plan): number {
    const { idleProbeMillis, probeMillis } = this.#settings;
    if (this.#seekingCount > 0 && (failures > 0 || this.#awaited.size === 0)) return SEEKING_MILLIS;
    if (failures > 0) return Math.min(RETRY_MILLIS * 2 ** Math.min(failures, 10), idleProbeMillis);
    const count = this.#plans.length;
    if (this.#awaited.size > 0 && node.role === 'primary') return AWAITED_PRIMARY_MILLIS;
    if (this.#awaited.has(node)) return Math.max(AWAITED_REPLICA_MILLIS, this.#awaited.size);
    return this.#isIdle(performance.now())
      ? Math.max(idleProbeMillis, count * SPACING_MILLIS.idle)
      : Math.max(probeMillis, count * SPACING_MILLIS.used);
  }

  #arm(): void {
    // On demand, only a read that waits sets a timer.
    if (this.#stopped || (this.#settings.monitor === 'onDemand' && this.#waiting.size === 0)) return;
    let next = Number.POSITIVE_INFINITY;
    for (const plan of this.#plans) if (!plan.asking) next = Math.min(next, plan.dueAt);
    if (next === Number.POSITIVE_INFINITY || (this.#timer !== undefined && this.#timerAt <= next)) return;
    clearTimeout(this.#timer);
    this.#timerAt = next;
    this.#timer = setTimeout(() => this.#tick(), Math.max(0, next - performance.now()));
    this.#timer.unref();
  }
}
