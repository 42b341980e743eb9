/**
 * Holds each server's word that it is the primary against what is known, before the election is held: refuses what cannot be true, asks for a second word where another server would
 * become the primary, and gives up a timeline that rests on the word of a server which is gone. It names no primary.
 */
import { performance } from '../clock.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Settings } from '../options/cluster.js';
import type { Publisher } from '../publisher.js';
import { doubtOf, type Reference } from './claims.js';
import type { Node } from './node.js';
import type { Observation } from './observation.js';

/** For so many times `hangMillis` the word of a server that is silent still counts: it may be starting anew. */
const WORD_LASTS = 10;
/** A server may tell another lie each time that it is asked. */
const TOLD_MILLIS = 1_000;

interface Told {
  readonly claim: string;
  readonly at: number;
}

export class Suspicions {
  readonly #history: PrimaryHistory;
  readonly #settings: Settings;
  readonly #publisher: Publisher;
  readonly #told = new WeakMap<Node, Told>();
  /** When the primary last said that it writes the present timeline, as long as that rests on its word alone. */
  #upheldAt = Number.NEGATIVE_INFINITY;
  #upheld = 0;
  #hastenedAt = Number.NEGATIVE_INFINITY;
  /** Since when a first primary is sought among servers that contradict each other. */
  #disputedAt: number | undefined;

  constructor(history: PrimaryHistory, settings: Settings, publisher: Publisher) {
    this.#history = history;
    this.#settings = settings;
    this.#publisher = publisher;
  }

  /** @param primary the present one, or the first guess @returns whether the nodes must be asked again before the election */
  review(nodes: readonly Node[], primary: Node): boolean {
    const history = this.#history;
    const claimants = nodes.filter((node) => this.#isClaim(node.observation));
    for (const node of nodes) {
      node.claim.doubt = undefined;
      node.claim.needsConfirmation = false;
    }
    if (!history.isTracking) return false;
    const now = performance.now();
    for (const node of claimants) this.#doubt(node, claimants, nodes, primary, now);
    if (history.timelines.timeline > 1 && this.#isDisowned(nodes, primary, now)) {
      for (const node of claimants) this.#doubt(node, claimants, nodes, primary, now);
    }
    const isLater = this.#isLater(claimants, now);
    return history.clusterId === undefined ? this.#isOpen(nodes, claimants, now) : isLater;
  }

  /** Whether a later timeline is claimed than before, so that everybody should say what he knows of it. */
  #isLater(claimants: readonly Node[], now: number): boolean {
    const history = this.#history;
    const claimed = Math.max(0, ...claimants.map(({ observation }) => observation?.timeline ?? 0));
    const isLater = claimed > Math.max(history.timelines.timeline, history.survey.claimedTimeline);
    history.survey.claimedTimeline = claimed > history.timelines.timeline ? claimed : 0;
    if (!isLater || now - this.#hastenedAt < TOLD_MILLIS) return false;
    this.#hastenedAt = now;
    return true;
  }

  /** Of the right cluster, as far as that is known. */
  #isClaim(observation: Observation | undefined): boolean {
    const { clusterId } = this.#history;
    if (observation === undefined || observation.inRecovery) return false;
    return clusterId === undefined || observation.identity.clusterId === clusterId;
  }

  #doubt(node: Node, claimants: readonly Node[], nodes: readonly Node[], primary: Node, now: number): void {
    const claim = node.observation as Observation;
    const { timeline } = this.#history.timelines;
    const known = this.#reference(node, claimants, now);
    const isFollowed = nodes.some((other) => follows(other, claim, claim.timeline));
    node.claim.doubt = doubtOf(claim, node.position.past, known, isFollowed);
    if (node.claim.doubt !== undefined) {
      this.#tell(
        node,
        `${claim.identity.server} ${claim.timeline} ${node.claim.doubt}`,
        now,
        () =>
          `node "${node.name}" says that it is the primary on timeline ${claim.timeline}, and is not believed: ${node.claim.doubt}. ` +
          'It gets nothing. Find out which server that is',
      );
      return;
    }
    if (this.#history.clusterId === undefined || this.#isPrimarysLife(claim)) return;
    node.claim.needsConfirmation = claim.timeline > timeline || node !== primary;
    // One that is left on an older timeline cannot win.
    if (node.claim.needsConfirmation && claim.timeline >= timeline && !node.claim.isConfirmed) node.claim.confirm();
  }

  #reference(node: Node, claimants: readonly Node[], now: number): Reference {
    const history = this.#history;
    if (history.clusterId !== undefined) {
      return {
        timeline: history.timelines.timeline,
        ageMillis: history.ageMillis(now),
        ceiling: history.ceilingAt(now),
      };
    }
    const { clusterId } = (node.observation as Observation).identity;
    const others = claimants.filter((other) => other !== node && other.observation?.identity.clusterId === clusterId);
    const timeline = Math.min(...others.map(({ observation }) => observation?.timeline ?? 0));
    return { timeline: Number.isFinite(timeline) ? timeline : 0, ageMillis: 0, ceiling: undefined };
  }

  /** Whether it is the server that the primary's history is of: it may be reached under several names. */
  #isPrimarysLife({ identity, timeline }: Observation): boolean {
    const { startedAt, timelines } = this.#history;
    return identity.startedAt === startedAt && timeline === timelines.timeline;
  }

  /** Before any primary was seen: where servers contradict each other, the replicas are asked whom they follow. */
  #isOpen(nodes: readonly Node[], claimants: readonly Node[], now: number): boolean {
    if (!claimants.some(({ claim }) => claim.doubt !== undefined)) return false;
    this.#disputedAt ??= now;
    const since = this.#disputedAt;
    return nodes.some(({ observation }) => observation?.inRecovery === true && observation.sentAt <= since);
  }

  /** Whether the present timeline, which rests on the primary's word alone, was given up, since it is gone, and one from before goes on. */
  #isDisowned(nodes: readonly Node[], primary: Node, now: number): boolean {
    const history = this.#history;
    const { timeline } = history.timelines;
    if (history.unconfirmed.length === 0) return false;
    if (nodes.some((node) => node !== primary && node.observation?.inRecovery === true && this.#isOn(node, timeline))) {
      history.keepTimeline();
      return false;
    }
    const isUpheld = nodes.includes(primary) && primary.claim.doubt === undefined && this.#isOn(primary, timeline);
    if (isUpheld || this.#upheld !== timeline) {
      this.#upheld = timeline;
      this.#upheldAt = now;
    }
    if (now - this.#upheldAt < WORD_LASTS * this.#settings.hangMillis) return false;
    const successor = nodes.find((node) => this.#wasThere(node, nodes));
    if (successor?.observation === undefined) return false;
    this.#tell(
      primary,
      `gone ${timeline}`,
      now,
      () =>
        `node "${primary.name}" was taken for the primary on timeline ${timeline} by its own word alone, and is gone: ` +
        `node "${successor.name}" is the primary again. What was written there meanwhile is not here. Find out which server that was`,
    );
    history.disown(successor.observation.timeline);
    return true;
  }

  /** Whether it puts itself on that timeline of the cluster, or on a later one. */
  #isOn({ observation }: Node, timeline: number): boolean {
    return observation?.identity.clusterId === this.#history.clusterId && (observation?.timeline ?? 0) >= timeline;
  }

  /** Whether it took writes before, and goes on to: in the same life, or as its replicas show. */
  #wasThere({ observation, claim }: Node, nodes: readonly Node[]): boolean {
    if (observation === undefined || claim.doubt !== undefined || !this.#isClaim(observation)) return false;
    const { timeline, identity } = observation;
    const { timelines, unconfirmed } = this.#history;
    if (timeline >= timelines.timeline) return false;
    if (unconfirmed.some((one) => one.startedAt === identity.startedAt && one.timeline === timeline)) return true;
    return nodes.some((other) => follows(other, observation, timeline));
  }

  #tell(node: Node, claim: string, now: number, message: () => string): void {
    const told = this.#told.get(node);
    if (told !== undefined && (told.claim === claim || now - told.at < TOLD_MILLIS)) return;
    this.#told.set(node, { claim, at: now });
    if (this.#publisher.wants('warning'))
      this.#publisher.publish('warning', { code: 'suspicious-primary', message: message() });
  }
}

/** Whether a replica of the same cluster is shown to be on that timeline, or on a later one. */
function follows({ observation }: Node, claim: Observation, timeline: number): boolean {
  if (observation === undefined || !observation.inRecovery || observation.identity.server === claim.identity.server)
    return false;
  return observation.identity.clusterId === claim.identity.clusterId && observation.timeline >= timeline;
}
