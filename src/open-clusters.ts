/**
 * The names of the clusters that are open in this process. It refuses a name that is taken, and
 * holds no cluster: one that is out of use frees its name. It is the one state that clusters
 * share, and so stands on `globalThis`: `import` and `require` load different copies of this file.
 */
import { invalidOptions } from './errors.js';
import type { ClusterIdentity } from './options/cluster-name.js';

/** Numbers the calls of all clusters, so that events of several can be told apart by them. */
export interface CallNumbers {
  last: number;
}

/** Copies of other versions read it, too: what is in it stays. */
interface OpenClusters {
  readonly claims: Set<WeakRef<ClusterIdentity>>;
  readonly calls: CallNumbers;
}

const OPEN_CLUSTERS = Symbol.for('pg-ladder.clusters');

/** A cluster's right to its name. It is held by what may still publish under that name. */
export class NameClaim implements ClusterIdentity {
  readonly name: string;
  readonly isGiven: boolean;
  readonly places: readonly string[] | undefined;
  readonly calls: CallNumbers;
  readonly #claims: Set<WeakRef<ClusterIdentity>>;
  readonly #entry = new WeakRef(this);

  /** @throws LadderError `LADDER_INVALID_OPTIONS` when the name is taken */
  constructor({ name, isGiven, places }: ClusterIdentity) {
    this.name = name;
    this.isGiven = isGiven;
    this.places = places;
    const { claims, calls } = openClusters();
    this.calls = calls;
    this.#claims = claims;
    for (const entry of claims) {
      const other = entry.deref();
      if (other === undefined) claims.delete(entry);
      else if (isTaken(this, other)) throw taken(this);
    }
    claims.add(this.#entry);
  }

  /** Another cluster may have the name from now on. */
  release(): void {
    this.#claims.delete(this.#entry);
  }
}

/**
 * A name that was given has one cluster. A default name may stand for several clusters of one
 * database: a module that is loaded twice opens the same cluster twice, as by a dev server that
 * reloads it, or in each bundle of a framework. Only databases that are known to be different
 * must be told apart by names of their own.
 */
export function isTaken(asked: ClusterIdentity, open: ClusterIdentity): boolean {
  // Headers, which carry names, know no case.
  if (asked.name.toLowerCase() !== open.name.toLowerCase()) return false;
  if (asked.isGiven || open.isGiven) return true;
  if (asked.places === undefined || open.places === undefined) return false;
  const places = new Set(open.places);
  return !asked.places.some((place) => places.has(place));
}

function taken({ name, isGiven }: ClusterIdentity): Error {
  return invalidOptions(
    isGiven
      ? `createCluster: name: expected one of its own, got "${name}", which another open cluster of this process has: choose another name, ` +
          'or close() that cluster first. Where modules are loaded twice, as by dev servers, keep one cluster on globalThis'
      : `createCluster: name: expected one, since another open cluster of this process is called "${name}", as this one's database is: ` +
          'give each cluster a name of its own, or close() that one first',
  );
}

function openClusters(): OpenClusters {
  const place = globalThis as { [OPEN_CLUSTERS]?: OpenClusters };
  const known = place[OPEN_CLUSTERS];
  if (known !== undefined) return known;
  const made: OpenClusters = { claims: new Set(), calls: { last: 0 } };
  // Where globalThis is frozen, each cluster stands alone.
  Reflect.defineProperty(globalThis, OPEN_CLUSTERS, { value: made });
  return made;
}
