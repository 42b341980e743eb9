/**
 * What a publication tells, by the catalogue at one moment: of which tables every change, and which
 * tables a change of one counts for. It refuses a publication that leaves changes out. It sends
 * nothing, and decides nothing about entries.
 */
import { type Lsn, normaliseLsn, parseLsn } from '../freshness/lsn.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { own } from '../postgres/own-statements.js';
import { DEFINITION_TRIGGERS } from './names.js';

/** As {@link publicationQuery} answers. A server may answer anything. */
export type PublicationRow = Partial<Record<keyof typeof FIELDS, unknown>>;

const FIELDS = {
  snapshot: '',
  in_recovery: true,
  lsn: '',
  block_bytes: '',
  segment_bytes: '',
  trigger_count: '',
  publication: '',
  relations: '',
  edges: '',
};

const [MADE, DROPPED] = DEFINITION_TRIGGERS;
/** From 15 on, a publication may name schemas, filter rows and leave columns out. */
const WITH_SCHEMAS = 150_000;

/**
 * All in one snapshot, without what asks the catalogue by another one. `lsn` is read after the
 * snapshot: what it shows lies before.
 * @param version `server_version_num`
 */
export function publicationQuery(name: string, version: number): string {
  const inSchema =
    version < WITH_SCHEMAS
      ? 'false'
      : `exists (select 1 from pg_catalog.pg_publication_namespace s where s.pnpubid operator(pg_catalog.=) p.oid
          and s.pnnspid operator(pg_catalog.=) c.relnamespace)`;
  return own(`select pg_catalog.concat(pg_catalog.pg_current_snapshot()) as snapshot, in_recovery,
  pg_catalog.concat(case when in_recovery then pg_catalog.pg_last_wal_replay_lsn()
    else pg_catalog.pg_current_wal_insert_lsn() end) as lsn,
  pg_catalog.current_setting('wal_block_size') as block_bytes,
  pg_catalog.concat(pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))) as segment_bytes,
  pg_catalog.concat((select pg_catalog.count(*) from pg_catalog.pg_event_trigger
    where evtname operator(pg_catalog.=) any (array['${MADE}', '${DROPPED}']::pg_catalog.name[])
      and evtenabled operator(pg_catalog.=) any (array['A', 'O']::pg_catalog."char"[])
      and coalesce(pg_catalog.current_setting('event_triggers', true), 'on') operator(pg_catalog.=) 'on')) as trigger_count,
  (select pg_catalog.concat(pg_catalog.json_build_object('isWhole', pubinsert and pubupdate and pubdelete and pubtruncate,
    'isByRoot', pubviaroot)) from pg_catalog.pg_publication
    where pubname operator(pg_catalog.=) ${literal(name)}) as publication,
  (select pg_catalog.concat(pg_catalog.json_agg(pg_catalog.json_build_array(c.oid, n.nspname, c.relname,
      case when c.relpersistence operator(pg_catalog.=) 'p' then c.relkind else 'f' end,
      (r.prrelid is not null or ((p.puballtables or ${inSchema})
        and c.relkind operator(pg_catalog.=) any (array['r', 'p']::pg_catalog."char"[])
        and c.relpersistence operator(pg_catalog.=) 'p'))
        and coalesce((pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prexcept') operator(pg_catalog.<>) 'true', true),
      coalesce(pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prqual',
        pg_catalog.to_jsonb(r) operator(pg_catalog.->>) 'prattrs') is not null,
      array(select a.attname from pg_catalog.pg_attribute a
        join pg_catalog.pg_collation o on o.oid operator(pg_catalog.=) a.attcollation and not o.collisdeterministic
        where a.attrelid operator(pg_catalog.=) c.oid and not a.attisdropped order by a.attnum)) order by c.oid))
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    left join pg_catalog.pg_publication p on p.pubname operator(pg_catalog.=) ${literal(name)}
    left join pg_catalog.pg_publication_rel r on r.prpubid operator(pg_catalog.=) p.oid and r.prrelid operator(pg_catalog.=) c.oid
    where c.relkind operator(pg_catalog.=) any (array['r', 'p', 'f']::pg_catalog."char"[])
      and c.oid operator(pg_catalog.>=) 16384::pg_catalog.oid
      and (r.prrelid is not null or p.puballtables or ${inSchema}
        or exists (select 1 from pg_catalog.pg_inherits i where i.inhrelid operator(pg_catalog.=) c.oid)
        or exists (select 1 from pg_catalog.pg_inherits i where i.inhparent operator(pg_catalog.=) c.oid))) as relations,
  (select pg_catalog.concat(pg_catalog.json_agg(pg_catalog.json_build_array(i.inhrelid, i.inhparent, c.relispartition)
      order by i.inhrelid, i.inhparent))
    from pg_catalog.pg_inherits i
    join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) i.inhrelid
      and c.relkind operator(pg_catalog.=) any (array['r', 'p', 'f']::pg_catalog."char"[])) as edges
  from pg_catalog.pg_is_in_recovery() as in_recovery`);
}

/** Every character that is none of a plain name is written by its number, so that none is taken for anything else. */
function literal(text: string): string {
  const written = Array.from(text, (character) =>
    /\w/.test(character) ? character : `\\U${(character.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`,
  );
  return `E'${written.join('')}'`;
}

/** A table that the catalogue knows. */
interface Relation {
  readonly name: string;
  readonly isPartitioned: boolean;
  /** Columns whose texts may be equal without being the same. */
  readonly unequal: ReadonlySet<string>;
  isPublished: boolean;
  readonly parents: number[];
  readonly children: number[];
}

export class Publication {
  /** Why it does not do; `undefined` where it does. */
  readonly problem: string | undefined;
  /** Those of which it tells every change, a row of theirs in another table included. */
  readonly tables: readonly string[];
  /** Whether definitions are told. */
  readonly tellsDefinitions: boolean;
  /** The same for two that do not differ. */
  readonly signature: string;
  /** What it shows has been written before. */
  readonly lsn: Lsn;
  readonly #snapshot: string;
  readonly #inRecovery: boolean;
  readonly #relations: ReadonlyMap<number, Relation>;
  readonly #affected = new Map<number, readonly string[]>();

  /** @throws InvalidAnswer */
  constructor(row: PublicationRow | undefined) {
    const { snapshot, in_recovery: inRecovery, publication, relations, edges, trigger_count: triggers } = row ?? {};
    const layout = { blockBytes: bytes(row?.block_bytes), segmentBytes: bytes(row?.segment_bytes) };
    const lsn = parseLsn(String(row?.lsn));
    if (lsn === undefined || typeof snapshot !== 'string') throw new InvalidAnswer('it tells no position');
    this.lsn = normaliseLsn(lsn, layout);
    this.#snapshot = snapshot;
    this.#inRecovery = inRecovery === true;
    this.signature = [publication, triggers, relations, edges].join('\n');
    this.tellsDefinitions = Number(triggers) === DEFINITION_TRIGGERS.length;
    const { found, isFiltered } = read(listed(relations), listed(edges));
    this.#relations = found;
    this.problem = problemOf(publication, isFiltered, found);
    this.tables = this.problem === undefined ? this.#covered() : [];
  }

  /** Whether it shows what that transaction has done. A standby has replayed whatever its log tells. */
  shows(xid: number): boolean {
    if (this.#inRecovery) return true;
    const [, next = '0', unfinished = ''] = this.#snapshot.split(':');
    const end = BigInt(next);
    // The log tells the lower half: whichever is nearest is meant.
    const full = end + BigInt.asIntN(32, BigInt(xid) - end);
    return full < end && !unfinished.split(',').includes(String(full));
  }

  /** The tables that a change there counts for, itself included; `undefined` where it is not known. */
  affectedBy(oid: number): readonly string[] | undefined {
    const known = this.#affected.get(oid);
    if (known !== undefined || !this.#relations.has(oid)) return known;
    const affected = [...this.#reach(oid, 'parents')].map((one) => this.#relations.get(one)?.name ?? '');
    this.#affected.set(oid, affected);
    return affected;
  }

  /** Whether two of its texts may be equal there without being the same. */
  isUnequal(oid: number, column: string): boolean {
    return this.#relations.get(oid)?.unequal.has(column) !== false;
  }

  #covered(): string[] {
    const covers = (oid: number): boolean => {
      const relation = this.#relations.get(oid);
      return relation?.isPublished === true || relation?.isPartitioned === true;
    };
    return [...this.#relations]
      .filter(([oid, { isPublished }]) => {
        const below = [...this.#reach(oid, 'children')];
        return below.every(covers) && (isPublished || below.some((one) => this.#relations.get(one)?.isPublished));
      })
      .map(([, { name }]) => name)
      .sort();
  }

  #reach(oid: number, way: 'parents' | 'children'): Set<number> {
    const reached = new Set([oid]);
    for (const one of reached) for (const next of this.#relations.get(one)?.[way] ?? []) reached.add(next);
    return reached;
  }
}

function problemOf(publication: unknown, isFiltered: boolean, relations: ReadonlyMap<number, Relation>) {
  if (typeof publication !== 'string' || publication === '') return 'the publication does not exist';
  const { isWhole, isByRoot } = JSON.parse(publication) as { isWhole?: unknown; isByRoot?: unknown };
  if (isWhole !== true) return 'the publication leaves out one of insert, update, delete and truncate';
  if (isFiltered) return 'the publication filters rows or columns';
  const isRoot = [...relations.values()].some((one) => one.isPublished && one.isPartitioned);
  // PostgreSQL does not tell then that a single partition was truncated.
  if (isByRoot === true && isRoot)
    return 'the publication publishes partitions by their root (publish_via_partition_root), and so does not tell of each TRUNCATE';
  return undefined;
}

function read(rows: readonly unknown[][], edges: readonly unknown[][]) {
  const found = new Map<number, Relation>();
  let isFiltered = false;
  for (const [oid, schema, table, kind, isPublished, isCut, unequal] of rows) {
    const name = `${String(schema)}.${String(table)}`;
    const columns = Array.isArray(unequal) ? new Set<string>(unequal.map(String)) : new Set<string>();
    isFiltered ||= isPublished === true && isCut === true;
    found.set(Number(oid), {
      name,
      isPartitioned: kind === 'p',
      unequal: columns,
      isPublished: isPublished === true,
      parents: [],
      children: [],
    });
  }
  // What is foreign, or not logged, is not told, wherever it belongs.
  const untold = new Set(rows.filter(([, , , kind]) => kind === 'f').map(([oid]) => Number(oid)));
  const partitions = new Map<number, number[]>();
  for (const [childOid, parentOid, isPartition] of edges) {
    const [child, parent] = [Number(childOid), Number(parentOid)];
    found.get(child)?.parents.push(parent);
    found.get(parent)?.children.push(child);
    if (isPartition === true) partitions.set(parent, [...(partitions.get(parent) ?? []), child]);
  }
  // A partitioned table is published with its partitions, whenever they come.
  const published = new Set([...found].filter(([, { isPublished }]) => isPublished).map(([oid]) => oid));
  for (const oid of published) {
    for (const partition of partitions.get(oid) ?? []) if (!untold.has(partition)) published.add(partition);
    const relation = found.get(oid);
    if (relation !== undefined) relation.isPublished = true;
  }
  return { found, isFiltered };
}

function listed(text: unknown): readonly unknown[][] {
  if (text === '' || text === null) return [];
  if (typeof text !== 'string') throw new InvalidAnswer('it tells no tables');
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || !list.every(Array.isArray)) throw new InvalidAnswer('it tells no tables');
  return list as unknown[][];
}

function bytes(text: unknown): bigint {
  if (typeof text !== 'string' || !/^[1-9][0-9]{2,9}$/.test(text)) throw new InvalidAnswer('it tells no sizes');
  return BigInt(text);
}
