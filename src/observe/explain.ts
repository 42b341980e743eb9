/** Where a read would go, and how each replica stands to it. Runs nothing and waits for nothing but the primary's position. */
import type { CacheVerdict } from '../cache/explain.js';
import type { NodeState, Reason } from '../events.js';
import { formatLsn } from '../freshness/lsn.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node, Role } from '../nodes/node.js';
import { type ReadTerms, reasonFor } from '../nodes/selection.js';
import { printable } from '../printable.js';
import type { Dependencies } from '../sql/dependencies.js';
import type { StatementClass } from '../sql/facts.js';
import type { FixedTable } from '../sql/fixed-columns.js';
import type { Relation } from '../sql/relations.js';
import type { Repeatability } from '../sql/unsteady.js';
import type { Classification } from '../statements/classifier.js';

/** What the answer of a read depends on, found out from its text and the catalogue. */
export interface ExplainedDependencies {
  /** All relations that it may touch, behind views, functions and row security too. */
  readonly relations: readonly Relation[];
  /** Why it may touch others beside these; `undefined` when these are all. Any text but a read may. */
  readonly mayBeMore: string | undefined;
  /** Columns that it fixes to one value each, by table: of these tables only rows with these values matter. */
  readonly keys: readonly FixedTable[];
  /** Whether the same text with the same values gives the same answer while these relations stay as they are. */
  readonly repeatability: Repeatability;
}

export interface Explanation {
  /** `session`: it belongs to a connection, and runs on the primary. */
  readonly class: StatementClass;
  /** The node of the tree, or the name and what the catalogue says of it, that decided. */
  readonly because: string;
  /** Whether it may share a connection with others, once it has been fast; see `lane`. */
  readonly mayShare: boolean;
  /** The node that would answer. */
  readonly node: string;
  readonly role: Role;
  readonly reason: Reason;
  /** What a replica must have replayed, as PostgreSQL writes it; `undefined` while that is not known. */
  readonly floor: string | undefined;
  readonly replicas: readonly ReplicaVerdict[];
  readonly dependencies: ExplainedDependencies;
  /** What the statement is called in events and warnings: the grammar's version and 16 digits, such as `18:5f2c…`. */
  readonly digest: string;
  /** Whether a kept answer would do, and why; `undefined` where the cluster has no caches. */
  readonly cache: CacheVerdict | undefined;
}

export interface ReplicaVerdict {
  readonly name: string;
  readonly state: NodeState;
  /** Whether it may answer; else why not. */
  readonly verdict: 'fresh' | Reason;
  /** How far it has replayed; `undefined` while unknown. */
  readonly lsn: string | undefined;
  /** Its proven bound on age in milliseconds; `undefined` without one. */
  readonly stalenessMillis: number | undefined;
}

/** What is known of the text, whatever node it goes to. */
export interface KnownText {
  readonly found: Classification;
  readonly dependencies: Dependencies;
  readonly digest: string;
  readonly cache: CacheVerdict | undefined;
}

/** The next read's choice is not touched by it. */
export async function explain(
  fleet: Fleet,
  { found, dependencies, digest, cache }: KnownText,
  terms: ReadTerms,
  now: number,
): Promise<Explanation> {
  const { history, primary, replicas, selection } = fleet;
  if (terms.floor.resolve(history) === 'pending') await primary.probe.refresh().catch(() => undefined);
  const lsn = terms.floor.resolve(history);
  const isRead = found.class === 'read';
  const isForPrimary = selection.isPrimary(terms.target) || selection.isForPrimary(terms, now);
  const choice = selection.preview(terms, now);
  const node = !isRead || isForPrimary ? primary : (choice.node ?? primary);
  const why = isForPrimary ? 'hot-key' : reasonFor(choice.why);
  const isHinted = terms.target !== undefined && (isForPrimary || choice.node !== undefined);
  return {
    class: found.class,
    // Names of objects in it are anybody's who may create one.
    because: printable(found.because),
    mayShare: found.isDetached,
    node: node.name,
    role: node.role,
    reason: isRead ? (isHinted ? 'hint' : why) : found.class === 'session' ? 'session-state' : 'write',
    floor: typeof lsn === 'bigint' ? formatLsn(lsn) : undefined,
    replicas: replicas.map((replica) => verdictOn(fleet, replica, terms, now)),
    dependencies: explained(dependencies),
    digest,
    cache,
  };
}

function explained({ relations, mayBeMore, keys, repeatability }: Dependencies): ExplainedDependencies {
  const { repeats, because } = repeatability;
  return {
    relations: relations.map(({ schema, name, kind }) => ({ schema: printable(schema), name: printable(name), kind })),
    mayBeMore: mayBeMore === undefined ? undefined : printable(mayBeMore),
    keys: keys.map(({ schema, name, columns }) => ({ schema: printable(schema), name: printable(name), columns })),
    repeatability: { repeats, because: printable(because) },
  };
}

function verdictOn({ replicas, selection }: Fleet, replica: Node, terms: ReadTerms, now: number): ReplicaVerdict {
  const others = new Set(replicas.filter((other) => other !== replica));
  const { node, why } = selection.preview({ ...terms, target: undefined }, now, others);
  return {
    name: replica.name,
    state: replica.health.current.state,
    verdict: node === undefined ? reasonFor(why) : 'fresh',
    lsn: replica.lsn === undefined ? undefined : formatLsn(replica.lsn),
    stalenessMillis: Number.isFinite(replica.freshAsOf) ? Math.max(0, now - replica.freshAsOf) : undefined,
  };
}
