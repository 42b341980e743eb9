/** What a source that reads the log needs of the cluster that it belongs to. The fleet is all of it. */
import type { Pool } from 'pg';

/** What is asked of a server; a node of the fleet is one. */
export interface SourceNode {
  readonly name: string;
  readonly pool: Pool;
  readonly adminQueries: {
    ask<Row>(text: string): Promise<Row[]>;
  };
}

/** What is asked of the cluster; the fleet is one. */
export interface SourceGround {
  readonly history: {
    readonly clusterId: string | undefined;
    readonly epoch: number;
    readonly timelines: { readonly timeline: number };
  };
  readonly leadership: { readonly isSettled: boolean };
  readonly primary: SourceNode;
  readonly nodes: readonly SourceNode[];
}

export interface LogicalSourceOptions {
  /** Default `pg_ladder`. */
  readonly publication?: string | undefined;
  /** The name of a node whose log is read; of the primary, whichever it is, where there is none. */
  readonly node?: string | undefined;
  /** Only one of all processes reads at a time: the one that has this advisory lock. */
  readonly lock?: bigint | undefined;
  /** Called when this process gets that lock, and when it has it no more. */
  readonly onLock?: ((isHeld: boolean) => void) | undefined;
}
