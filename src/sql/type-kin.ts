/**
 * The types that the values of a statement can have, by oid. A user's type is there only if
 * something in the statement gives a value of it, or if a value that is there turns into it
 * unasked. Which built-in type an expression has is not worked out, beyond columns, literals and
 * casts.
 */
import type { Operand } from './operands.js';

const FIRST_USER_OID = 16_384;
/**
 * Parameters that take anything, or what can only be told when it is given: the polymorphic ones,
 * "any", records, and what no expression has.
 */
const OPEN = new Set('2249 2287 2275 2276 2277 2278 2281 2283 2776 3500 3831 4537 4538 5077 5078 5079 5080'.split(' '));
/** Rows of no declared type turn into rows of any. */
export const RECORD = '2249';
/** A text with more was made on purpose. */
const MAX_COMBINATIONS = 64;
const MAX_REMEMBERED = 256;

/** Types that the grammar puts into pg_catalog, and others that are often cast to. */
// biome-ignore format: a table
const BUILT_IN_OIDS: Readonly<Record<string, string>> = {
  bool: '16', bytea: '17', int8: '20', int2: '21', int4: '23', text: '25', oid: '26', json: '114', float4: '700', float8: '701',
  bpchar: '1042', varchar: '1043', date: '1082', time: '1083', timestamp: '1114', timestamptz: '1184', interval: '1186',
  timetz: '1266', numeric: '1700', uuid: '2950', jsonb: '3802',
};

/**
 * What each type may turn into without being asked: as an element, a field, a base or a parent, or
 * by an implicit cast.
 */
export class TypeKin {
  readonly #reached = new Map<string, ReadonlySet<string>>();
  readonly #leadsTo = new Map<string, { to: string; field: string | undefined }[]>();

  /** @param edges two oids, and for a field its name, with blanks between them */
  constructor(edges: readonly string[]) {
    for (const edge of edges) {
      const [source = '', target = '', ...words] = edge.split(' ');
      const next = { to: target, field: words.length === 0 ? undefined : words.join(' ') };
      const known = this.#leadsTo.get(source);
      if (known === undefined) this.#leadsTo.set(source, [next]);
      else known.push(next);
    }
  }

  /** Those that come with PostgreSQL and turn into something. */
  get builtIn(): string[] {
    return [...this.#leadsTo.keys()].filter((type) => isBuiltIn(type) && type !== RECORD);
  }

  /** These types, and all that they may turn into. */
  reach(types: Iterable<string>): Set<string> {
    const reached = new Set(types);
    for (const type of reached) for (const { to } of this.#leadsTo.get(type) ?? []) reached.add(to);
    return reached;
  }

  /** Likewise, remembered: for what is asked for each namesake. */
  known(types: readonly string[]): ReadonlySet<string> {
    const key = types.join(' ');
    let reached = this.#reached.get(key);
    if (reached === undefined) {
      if (this.#reached.size >= MAX_REMEMBERED) this.#reached.clear();
      reached = this.reach(types);
      this.#reached.set(key, reached);
    }
    return reached;
  }

  /**
   * Likewise, by way of users' types only. @param hasField whether a field is taken out of anything
   */
  reachDeclared(types: Iterable<string>, hasField: (field: string) => boolean): Set<string> {
    const reached = new Set(types);
    for (const type of reached) {
      if (isBuiltIn(type)) continue;
      for (const { to, field } of this.#leadsTo.get(type) ?? []) {
        if (field === undefined || hasField(field)) reached.add(to);
      }
    }
    return reached;
  }
}

/** What names stand for in one statement. */
export interface Meanings {
  /** The possible types of a column; `undefined` where they are not known. */
  readonly columnTypes: (column: string, of: string | undefined) => readonly string[] | undefined;
  /** The type that a cast names; `undefined` where it is not known. */
  readonly typeOf: (name: readonly string[]) => string | undefined;
}

/** Where a statement's types come from. */
export interface Sources {
  readonly ofColumns: readonly string[];
  readonly ofOthers: readonly string[];
  /** Whether the statement takes that field, or column, out of anything. */
  readonly hasField: (field: string) => boolean;
}

export class ValueTypes {
  readonly #kin: TypeKin;
  readonly #meanings: Meanings;
  /** `undefined`: any. */
  #all: Set<string> | undefined;
  /** Without what built-in types and records turn into. */
  #brought: Set<string> = new Set();
  #ofOthers: Set<string> = new Set();
  readonly #hasField: (field: string) => boolean;

  /** @param sources `undefined` where the statement's types cannot all be known */
  constructor(kin: TypeKin, meanings: Meanings, sources: Sources | undefined) {
    this.#kin = kin;
    this.#meanings = meanings;
    this.#hasField = sources?.hasField ?? (() => true);
    if (sources === undefined) return;
    this.#all = kin.reach([...sources.ofColumns, ...sources.ofOthers, ...kin.builtIn]);
    this.#brought = kin.reachDeclared([...sources.ofColumns, ...sources.ofOthers], sources.hasField);
    this.#ofOthers = kin.reachDeclared(sources.ofOthers, sources.hasField);
  }

  /** Something in the statement gives values of these types. @returns whether that is news */
  add(types: readonly string[]): boolean {
    const before = this.#all;
    const own = types.filter((type) => type === RECORD || !isBuiltIn(type));
    if (before === undefined || own.every((type) => before.has(type) && this.#ofOthers.has(type))) return false;
    this.#all = this.#kin.reach([...before, ...own]);
    this.#brought = this.#kin.reachDeclared([...this.#brought, ...own], this.#hasField);
    this.#ofOthers = this.#kin.reachDeclared([...this.#ofOthers, ...own], this.#hasField);
    return true;
  }

  has(type: string): boolean {
    return this.#all === undefined || isBuiltIn(type) || this.#all.has(type);
  }

  /** Gives up: it may have any type. */
  open(): void {
    this.#all = undefined;
  }

  /**
   * Whether the statement has it by more than what built-in values may turn into.
   * @param isColumnEnough whether a column of it will do
   */
  brings(type: string, isColumnEnough: boolean): boolean {
    return this.#all === undefined || (isColumnEnough ? this.#brought : this.#ofOthers).has(type);
  }

  /**
   * Whether the operands can be given to these parameters; the last one also stands for all that
   * follow.
   */
  canMeet(parameters: readonly string[], operands: readonly Operand[] | undefined): boolean {
    if (operands === undefined) return true;
    return operands.every((operand, at) => this.#canBe(operand, parameters[at] ?? parameters.at(-1) ?? RECORD));
  }

  /**
   * Whether one of the signatures is exactly that of the operands: PostgreSQL looks no further
   * then.
   */
  isExactly(signatures: ReadonlySet<string>, operands: readonly Operand[] | undefined): boolean {
    if (operands === undefined) return false;
    const [first, second] = operands;
    const types = operands.map((operand) => this.#typesOf(operand));
    // An operand without a type is first taken for one of the other's.
    if (operands.length === 2 && first === 'untyped') types[0] = types[1];
    if (operands.length === 2 && second === 'untyped') types[1] = types[0];
    let combinations: string[][] = [[]];
    for (const each of types) {
      if (each === undefined || each.length === 0 || combinations.length * each.length > MAX_COMBINATIONS) return false;
      combinations = combinations.flatMap((before) => each.map((type) => [...before, type]));
    }
    return combinations.every((combination) => signatures.has(combination.join(' ')));
  }

  #canBe(operand: Operand, parameter: string): boolean {
    if (OPEN.has(parameter) || operand === 'any' || operand === 'untyped') return true;
    const types = this.#typesOf(operand);
    return types === undefined ? this.has(parameter) : this.#kin.known(types).has(parameter);
  }

  #typesOf(operand: Operand): readonly string[] | undefined {
    if (typeof operand === 'string') return undefined;
    if ('types' in operand) return operand.types;
    if ('column' in operand) return this.#meanings.columnTypes(operand.column, operand.of);
    const type = operand.isArray ? undefined : this.#meanings.typeOf(operand.cast);
    return type === undefined ? undefined : [type];
  }
}

/** The oid of a common built-in type that is cast to. */
export function builtInOid(name: string): string | undefined {
  return Object.hasOwn(BUILT_IN_OIDS, name) ? BUILT_IN_OIDS[name] : undefined;
}

export function isBuiltIn(type: string): boolean {
  return Number(type) < FIRST_USER_OID;
}
