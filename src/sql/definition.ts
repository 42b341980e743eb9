/**
 * Which texts mean something else after a definition (DDL): those that mention what it makes,
 * changes or drops, or anything whose own definition mentions that. Known for plain definitions
 * only; after any other, everything may have changed.
 */
import { builtIns } from './built-ins.js';
import type { CatalogRows } from './catalog-rows.js';
import type { Tree } from './grammar.js';
import type { Fields } from './tree.js';

/** What definitions touch; `undefined` stands for everything. */
export interface Touched {
  /** Texts that mention none of them are what they were. In lower case. */
  readonly names: ReadonlySet<string> | undefined;
  /** Functions that may be others. */
  readonly functions: ReadonlySet<string> | undefined;
}

export const EVERYTHING: Touched = { names: undefined, functions: undefined };

const NOTHING: readonly string[] = [];
/**
 * Statements that define nothing. Those that may run anything, such as CALL and DO, are not among
 * them.
 */
const NO_DEFINITIONS = new Set(
  `SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt TransactionStmt TruncateStmt VariableSetStmt VacuumStmt LockStmt
  CopyStmt CommentStmt GrantStmt IndexStmt`.split(/\s+/),
);
const RELATIONS = new Set('TABLE VIEW MATVIEW SEQUENCE INDEX FOREIGN_TABLE'.split(' ').map((kind) => `OBJECT_${kind}`));
/**
 * What is renamed, put elsewhere or given another type shows in definitions that PostgreSQL prints,
 * and in tables that inherit.
 */
const FAR_REACHING = new Set(['AT_AlterColumnType', 'AT_AddInherit', 'AT_DropInherit', 'AT_AddOf', 'AT_DropOf']);
/** Of the definitions that are searched, in characters: some milliseconds. */
const MAX_LENGTH = 2 ** 22;
/** Of those that are taken apart into words. */
const MAX_WORDS_LENGTH = 2 ** 18;
const MAX_COUNT = 1_000;
const MAX_ROUNDS = 8;
const WORD = /^[\w$\u0080-\uffff]+$/;
const WORDS = /[\w$\u0080-\uffff]+/g;
/** A longer text is not searched. */
const LONG_TEXT = 100_000;
/** PostgreSQL makes names for indexes and sequences of at least so much of a table's. */
const STEM_LENGTH = 28;

/** @param rows what the catalogue said before */
export function touchedBy(statements: readonly Tree[], rows: CatalogRows): Touched {
  const names = new Set<string>();
  const functions = new Set<string>();
  let isNarrow = true;
  for (const statement of statements) {
    const ofFunction = functionIn(statement);
    const own = ofFunction === undefined ? namesIn(statement) : [ofFunction];
    if (own === undefined || !own.every((name) => WORD.test(name))) return EVERYTHING;
    if (ofFunction !== undefined) functions.add(ofFunction);
    // One that was there before may be behind an operator or a cast, which do not mention it.
    isNarrow &&= ofFunction === undefined || !rows.functions.some(({ name }) => name === ofFunction);
    for (const name of own) names.add(name.toLowerCase());
  }
  return { names: isNarrow ? withDependents(names, rows) : undefined, functions };
}

/** Whether a text may be another one because of these names. */
export function mentions(text: string, names: ReadonlySet<string>): boolean {
  if (names.size === 0) return false;
  const lower = text.toLowerCase();
  // Names with escapes are not looked into.
  if (text.length > LONG_TEXT || lower.includes('u&"')) return true;
  for (const word of new Set(lower.match(WORDS))) {
    // An array's type has the name of its elements' behind a low line.
    const bare = word.replace(/^_+/, '');
    for (const name of names) if (word === name || bare === name || isMadeOf(bare, name)) return true;
  }
  return false;
}

/** Such as `users_id_seq`, of `users`. */
function isMadeOf(word: string, name: string): boolean {
  return name.length > STEM_LENGTH ? word.startsWith(name.slice(0, STEM_LENGTH)) : word.startsWith(`${name}_`);
}

function namesIn(statement: Tree): readonly string[] | undefined {
  const [type, node] = nodeOf(statement);
  if (NO_DEFINITIONS.has(type)) return type === 'SelectStmt' && 'intoClause' in node ? undefined : NOTHING;
  switch (type) {
    case 'CreateStmt':
      return named((node['relation'] as Fields | undefined)?.['relname']);
    case 'ViewStmt':
      return named((node['view'] as Fields | undefined)?.['relname']);
    case 'CreateSeqStmt':
    case 'AlterSeqStmt':
      return named((node['sequence'] as Fields | undefined)?.['relname']);
    case 'AlterTableStmt':
      return alters(node) ? named((node['relation'] as Fields | undefined)?.['relname']) : undefined;
    case 'CreateEnumStmt':
    case 'AlterEnumStmt':
      return named(lastOf(node['typeName']));
    case 'DropStmt':
      return dropped(node);
    default:
      return undefined;
  }
}

function alters({ objtype, cmds = [] }: Fields): boolean {
  const kinds = (cmds as readonly { AlterTableCmd?: { subtype?: string } }[]).map((cmd) => cmd.AlterTableCmd?.subtype);
  return RELATIONS.has(String(objtype)) && kinds.every((kind) => kind !== undefined && !FAR_REACHING.has(kind));
}

/** With CASCADE, functions go too. */
function dropped({ removeType, behavior, objects = [] }: Fields): readonly string[] | undefined {
  if (!RELATIONS.has(String(removeType)) || behavior === 'DROP_CASCADE') return undefined;
  const names = (objects as readonly { List?: { items?: unknown } }[]).map(({ List }) => lastOf(List?.items));
  return names.every((name) => name !== undefined) ? names : undefined;
}

/** The name of the only function that a statement makes, changes or drops. */
function functionIn(statement: Tree): string | undefined {
  const [type, node] = nodeOf(statement);
  if (type === 'CreateFunctionStmt') return lastOf(node['funcname']);
  if (type !== 'DropStmt' || node['removeType'] !== 'OBJECT_FUNCTION' || node['behavior'] === 'DROP_CASCADE') return;
  const [first, ...more] = node['objects'] as readonly { ObjectWithArgs?: { objname?: unknown } }[];
  return more.length > 0 ? undefined : lastOf(first?.ObjectWithArgs?.objname);
}

function nodeOf(statement: Tree): [type: string, node: Fields] {
  const [type = '', node = {}] = (Object.entries(statement as Fields)[0] ?? []) as [string?, Fields?];
  return [type, node];
}

function named(name: unknown): readonly string[] | undefined {
  return typeof name === 'string' ? [name] : undefined;
}

/** Of a name with its schema. */
function lastOf(parts: unknown): string | undefined {
  return (parts as readonly { String?: { sval?: string } }[] | undefined)?.at(-1)?.String?.sval;
}

interface Definition {
  readonly name: string;
  readonly text: string;
  /** Of a function. */
  readonly oid?: string;
}

function withDependents(names: Set<string>, rows: CatalogRows): Touched['names'] {
  const definitions = definitionsIn(rows);
  // What did not exist is mentioned by next to nothing.
  if (definitions === undefined) return isAnyKnown(names, rows) ? undefined : names;
  let open: readonly string[] = [...names];
  let left = MAX_WORDS_LENGTH;
  for (let round = 0; open.length > 0; round++) {
    if (round >= MAX_ROUNDS || names.size > MAX_COUNT) return undefined;
    const asked = new Set(open);
    const found = definitions.filter(({ name, text }) => {
      if (names.has(name) || !open.some((mentioned) => text.includes(mentioned))) return false;
      left -= text.length;
      return left < 0 || mentions(text, asked);
    });
    if (found.some(({ oid }) => oid !== undefined && isBehindSomething(oid, rows))) return undefined;
    open = found.map(({ name }) => name);
    for (const name of open) names.add(name);
  }
  return names;
}

function isAnyKnown(names: ReadonlySet<string>, { relations, types }: CatalogRows): boolean {
  const isKnown = (row: { readonly name: string }): boolean => names.has(row.name.toLowerCase());
  return [...names].some((name) => builtIns.has(name)) || relations.some(isKnown) || types.some(isKnown);
}

/** `undefined` when they are too long. */
function definitionsIn({ functions, relations, types }: CatalogRows): Definition[] | undefined {
  const found: Definition[] = [];
  let left = MAX_LENGTH;
  const add = (name: string, parts: readonly (string | null)[], oid?: string): void => {
    const text = parts.filter((part) => part !== null).join(' ');
    left -= text.length;
    if (text !== '' && left >= 0)
      found.push({ name: name.toLowerCase(), text: text.toLowerCase(), ...(oid === undefined ? {} : { oid }) });
  };
  for (const { name, body, defaults, signature, oid } of functions) add(name, [body, defaults, signature], oid);
  for (const { name, definition, policies } of relations) add(name, [definition, ...(policies ?? [])]);
  for (const { name, checks, base } of types) add(name, [base, ...(checks ?? [])]);
  return left < 0 ? undefined : found;
}

/** Whether an operator, a cast or an aggregate calls it. */
function isBehindSomething(oid: string, { operators, types, relations, functions }: CatalogRows): boolean {
  return (
    operators.some(({ call }) => call === oid) ||
    types.some(({ casts }) => casts?.includes(oid)) ||
    relations.some(({ hidden }) => hidden?.some((entry) => entry.endsWith(` ${oid}`))) ||
    functions.some(({ parts }) => parts?.includes(oid))
  );
}
