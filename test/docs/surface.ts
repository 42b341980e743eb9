/** What users can set, get and be told, read off the types that they import. No list here is a copy. */
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { usage } from '../../src/cli/usage.js';
import { reasons as allReasons } from '../../src/events.js';
import { read, root } from './pages.js';
import type { Asked } from './rows.js';

const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file));
const paths: Record<string, string[]> = config.compilerOptions.paths;
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, dirname(join(root, 'tsconfig.json')));

/** The source of an entry of the package: `http` of `pg-ladder/http`. */
function sourceOf(entry: string): string {
  const [source] = paths[entry === 'index' ? 'pg-ladder' : `pg-ladder/${entry}`] ?? [];
  if (source === undefined) throw new Error(`no entry ${entry}`);
  return join(root, source);
}

const program = ts.createProgram(
  Object.keys(paths).map((name) => join(root, paths[name]![0]!)),
  options,
);
const checker = program.getTypeChecker();

function typeOf(entry: string, name: string): ts.Type {
  const file = program.getSourceFile(sourceOf(entry));
  const module = file && checker.getSymbolAtLocation(file);
  const symbol = module && checker.getExportsOfModule(module).find((one) => one.name === name);
  if (symbol === undefined) throw new Error(`pg-ladder/${entry} has no ${name}`);
  const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  return checker.getDeclaredTypeOfSymbol(target);
}

interface Types {
  readonly required: readonly string[];
  readonly allowed?: readonly string[];
}

/** A field of a type that is `?: undefined` says only that it is not there. */
function isNothing(field: ts.Symbol): boolean {
  return (checker.getTypeOfSymbol(field).flags & ts.TypeFlags.Undefined) !== 0;
}

/**
 * The fields of types. One that several required types inherit counts once. Of an object within, such
 * as `lane` of a node's stats, the fields are allowed.
 */
export function fieldsOf(entry: string, { required, allowed = [] }: Types): Asked {
  const seen = new Set<ts.Node | undefined>();
  const within: string[] = [];
  const namesIn = (names: readonly string[], isOnce: boolean): string[] =>
    names.flatMap((name) => {
      const [other, type] = name.includes(':') ? (name.split(':') as [string, string]) : [entry, name];
      return typeOf(other, type)
        .getProperties()
        .filter((field) => !field.name.startsWith('__@') && !isNothing(field))
        .flatMap((field) => {
          const declaration = field.valueDeclaration ?? field.declarations?.[0];
          if (isOnce && seen.has(declaration)) return [];
          seen.add(declaration);
          within.push(...fieldsWithin(checker.getTypeOfSymbol(field)));
          return [field.name];
        });
    });
  const wanted = namesIn(required, true);
  const alsoFine = namesIn(allowed, false);
  return { required: wanted, allowed: [...alsoFine, ...within] };
}

/** The fields of a type that is written where it is used: `{ readonly p50: number }`. */
function fieldsWithin(type: ts.Type): string[] {
  const parts = type.isUnion() ? type.types : [type];
  return parts.flatMap((part) => {
    const items = checker.isArrayType(part) ? checker.getTypeArguments(part as ts.TypeReference) : [part];
    return items
      .filter(({ symbol }) => symbol !== undefined && (symbol.flags & ts.SymbolFlags.TypeLiteral) !== 0)
      .flatMap((item) => item.getProperties().map(({ name }) => name));
  });
}

/** The fields of the object that a function takes first. */
export function optionsOfFunction(entry: string, name: string): string[] {
  const file = program.getSourceFile(sourceOf(entry));
  const module = file && checker.getSymbolAtLocation(file);
  const exported = module && checker.getExportsOfModule(module).find((one) => one.name === name);
  if (exported === undefined) throw new Error(`pg-ladder/${entry} has no ${name}`);
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const [signature] = checker.getTypeOfSymbol(symbol).getCallSignatures();
  const [parameter] = signature?.parameters ?? [];
  if (parameter === undefined) throw new Error(`${name} takes nothing`);
  return checker
    .getTypeOfSymbol(parameter)
    .getProperties()
    .map((field) => field.name);
}

/** The words of a union of them, or of the field of a type that is one. */
export function literalsOf(entry: string, name: string, field?: string): string[] {
  const type = typeOf(entry, name);
  const property = field === undefined ? undefined : type.getProperty(field);
  const union = property === undefined ? type : checker.getTypeOfSymbol(property);
  const words = (union.isUnion() ? union.types : [union]).flatMap((one) => (one.isStringLiteral() ? [one.value] : []));
  if (words.length === 0) throw new Error(`${name} has no words`);
  return words;
}

export const reasons = (): readonly string[] => allReasons;

export const eventNames = (): string[] =>
  typeOf('index', 'LadderEventMap')
    .getProperties()
    .map(({ name }) => name);

/** The words that a hint may hold, as its parser compares them. */
export const hintWords = (): string[] => {
  const words = [...read('src/sql/hint.ts').matchAll(/\bname === '(\w+)'/g)].map(([, word = '']) => word);
  return [...new Set(words)];
};

/** What the command line takes, as its help tells it. */
export const switchesOfCommands = (): string[] =>
  [...usage.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name = '']) => name);
