/** The played servers together: who is the primary in truth, and what befalls them. */
import type { Random } from './random.js';
import { AGE_MILLIS, FakeServer } from './server.js';

const FAULTS = [
  'kill',
  'kill',
  'freeze',
  'pause',
  'pause',
  'cut',
  'slow',
  'lag',
  'reset',
  'failover',
  'zombie',
  'heal',
  'heal',
  'heal',
] as const;

export class Servers {
  readonly all: readonly FakeServer[];
  primary: FakeServer;
  timeline = 1;
  readonly #random: Random;
  #agedAt = Number.NEGATIVE_INFINITY;

  constructor(random: Random, names: readonly string[]) {
    this.#random = random;
    const [first = '', ...others] = names;
    const primary = new FakeServer(first, undefined);
    this.primary = primary;
    this.all = [primary, ...others.map((name) => new FakeServer(name, primary))];
  }

  /** They replicate. */
  tick(): void {
    for (const server of this.all) server.replicate();
    if (performance.now() - this.#agedAt < AGE_MILLIS) return;
    this.#agedAt = performance.now();
    for (const server of this.all) server.noteAge(this.primary);
  }

  /** @param mayLead whether that server may be promoted */
  fault(mayLead: (server: FakeServer) => boolean): void {
    const random = this.#random;
    const server = random.pick(this.all);
    const isPrimary = server === this.primary;
    const fault = random.pick(FAULTS);
    if (fault !== 'failover' && fault !== 'zombie') server.troubledAt = performance.now();
    switch (fault) {
      case 'kill':
        if (server.isUp && !isPrimary) server.kill();
        else if (isPrimary && server.isUp) {
          server.kill();
          server.start(); // a crash: it keeps its log
        }
        return;
      case 'freeze':
        if (server.isUp) server.freeze();
        return;
      case 'pause':
        server.isPaused = !server.isPrimary;
        return;
      case 'cut':
        server.isCut = !server.isPrimary;
        return;
      case 'slow':
        server.latencyMillis = random.pick([1, 20, 200, 900]);
        return;
      case 'lag':
        server.delayMillis = server.isPrimary ? 0 : random.pick([400, 700, 2_000]);
        return;
      case 'reset':
        server.reset();
        return;
      case 'failover':
        this.#failOver(mayLead, (old) => old.kill());
        return;
      case 'zombie':
        this.#failOver(mayLead, (old) => (random.chance(0.5) ? old.freeze() : undefined));
        return;
      default:
        this.#heal(server);
    }
  }

  healAll(): void {
    for (const server of this.all) if (!server.isWell(this.primary, 0)) this.#heal(server);
  }

  /** Promotes somebody who can be; the others follow, if they have not gone too far. */
  #failOver(mayLead: (server: FakeServer) => boolean, fell: (old: FakeServer) => unknown): void {
    const heirs = this.all.filter(
      (server) => server !== this.primary && server.isUp && !server.isFrozen && !server.isPrimary && mayLead(server),
    );
    // What manages a cluster promotes nobody who has left the common history.
    const able = heirs.filter((heir) => heir.isPrefixOf(this.primary, heir.log.length));
    if (able.length === 0) return;
    const heir = this.#random.pick(able);
    fell(this.primary);
    heir.promote(++this.timeline);
    this.primary = heir;
    for (const server of this.all) {
      if (server !== heir && !server.isPrimary) server.upstream = heir;
      server.troubledAt = performance.now();
      server.ages.length = 0;
    }
  }

  #heal(server: FakeServer): void {
    server.troubledAt = performance.now();
    server.latencyMillis = 1;
    server.delayMillis = 0;
    server.isCut = false;
    server.isPaused = false;
    if (server.isFrozen) server.thaw();
    if (server === this.primary) {
      if (!server.isUp) server.start();
    } else if (server.isPrimary || !server.isPrefixOf(this.primary, server.log.length)) {
      server.kill();
      server.rebuild(this.primary);
    } else if (!server.isUp) {
      server.upstream = this.primary;
      server.start();
    }
  }
}
