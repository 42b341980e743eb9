/** Compiles the blocks of the docs, all in one program: each is a module in a file that is not there. */
import { basename, join } from 'node:path';
import ts from 'typescript';
import { homesOf } from './modules.mjs';
import { type Block, exists, root } from './pages.js';

const AMBIENT = join(root, 'test/docs/ambient.ts');
const PRISMA = join(root, 'test/docs/prisma/dist/client.ts');
/** What blocks may use without saying where it is from. */
export const AMBIENT_NAMES = ['cluster', 'pool', 'session', 'app', 'queue', 'redis'] as const;

/** A block that makes a cluster of its own uses no other one. */
const OF_CLUSTERS: readonly string[] = ['cluster', 'pool', 'session'];

/** The names that a module declares or imports at its top. */
export function topLevelNames(code: string): Set<string> {
  const names = new Set<string>();
  const addBinding = (name: ts.BindingName): void => {
    if (ts.isIdentifier(name)) names.add(name.text);
    else for (const element of name.elements) if (ts.isBindingElement(element)) addBinding(element.name);
  };
  for (const statement of ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true).statements) {
    if (ts.isVariableStatement(statement))
      for (const { name } of statement.declarationList.declarations) addBinding(name);
    else if (ts.isImportDeclaration(statement)) {
      const { name, namedBindings } = statement.importClause ?? {};
      if (name !== undefined) names.add(name.text);
      if (namedBindings !== undefined && ts.isNamespaceImport(namedBindings)) names.add(namedBindings.name.text);
      else if (namedBindings !== undefined) for (const element of namedBindings.elements) names.add(element.name.text);
    } else if ((ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name) {
      names.add(statement.name.text);
    }
  }
  return names;
}

/** The names of ours that a block gets: those that it does not have by itself. */
export function givenTo(code: string): string[] {
  const own = topLevelNames(code);
  const makesCluster = /\bcreateCluster\(/.test(code);
  return AMBIENT_NAMES.filter((name) => {
    if (makesCluster && OF_CLUSTERS.includes(name)) return false;
    return !own.has(name) && new RegExp(`\\b${name}\\b`).test(code);
  });
}

/** What is wrong with the blocks, by their pages' lines. */
export function compile(blocks: readonly Block[]): ReadonlyMap<Block, readonly string[]> {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => ts.sys.readFile(file));
  const { options } = ts.convertCompilerOptionsFromJson(
    // users write process.env.X, and decorators as their ORM's page has them
    {
      ...config.compilerOptions,
      noPropertyAccessFromIndexSignature: false,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      strictPropertyInitialization: false,
    },
    root,
  );
  const files = new Map(
    blocks.map((block, index) => [
      join(root, '.blocks', `${index}.${block.language === 'tsx' ? 'tsx' : 'mts'}`),
      block,
    ]),
  );
  const texts = new Map([...files].map(([file, { code }]) => [file, moduleOf(code)]));
  const host = ts.createCompilerHost(options);
  const fileExists = host.fileExists.bind(host);
  const readFile = host.readFile.bind(host);
  const getSourceFile = host.getSourceFile.bind(host);
  host.fileExists = (file) => texts.has(file) || fileExists(file);
  host.readFile = (file) => texts.get(file) ?? readFile(file);
  host.getSourceFile = (file, ...rest) => {
    const text = texts.get(file);
    return text === undefined ? getSourceFile(file, ...rest) : ts.createSourceFile(file, text, rest[0], true);
  };
  /** The block of the same page that is saved under the name that another one imports. */
  const siblingOf = (specifier: string, containing: string): string | undefined => {
    const page = files.get(containing)?.file;
    const name = specifier.startsWith('.') ? basename(specifier).replace(/\.js$/, '.ts') : undefined;
    return [...files].find(
      ([, { file, marks }]) => file === page && marks.savedAs !== undefined && basename(marks.savedAs) === name,
    )?.[0];
  };
  const cache = ts.createModuleResolutionCache(root, (name) => name, options);
  host.resolveModuleNameLiterals = (literals, containing, redirected, _options, source) =>
    literals.map((literal) => {
      const mode = ts.getModeForUsageLocation(source, literal, options);
      const from = (file: string) => ts.resolveModuleName(literal.text, file, options, host, cache, redirected, mode);
      if (!texts.has(containing) && !containing.startsWith(join(root, 'test/docs/'))) return from(containing);
      const sibling = siblingOf(literal.text, containing);
      if (sibling !== undefined)
        return { resolvedModule: { resolvedFileName: sibling, extension: '.mts', isExternalLibraryImport: false } };
      if (literal.text.startsWith('.') && texts.has(containing)) {
        const file = literal.text.includes('generated') && exists('test/docs/prisma/dist/client.ts') ? PRISMA : AMBIENT;
        return {
          resolvedModule: { resolvedFileName: file, extension: '.ts', isExternalLibraryImport: false },
        };
      }
      for (const file of [containing, ...homesOf(literal.text).map((home) => join(home, 'block.mts'))]) {
        const found = from(file);
        if (found.resolvedModule !== undefined && found.resolvedModule.extension !== '.js') return found;
      }
      return from(containing);
    });
  const program = ts.createProgram([...files.keys()], options, host);
  const complaints = new Map<Block, string[]>();
  for (const [file, block] of files) {
    const source = program.getSourceFile(file);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    if (found.length > 0)
      complaints.set(
        block,
        found.map((one) => told(one, block)),
      );
  }
  return complaints;
}

/** The block as a module. What it is given comes last, so that its lines stay its lines. */
function moduleOf(code: string): string {
  const given = givenTo(code);
  const ours = given.length > 0 ? `import { ${given.join(', ')} } from './ambient.js';` : '';
  return `${code}\n${ours}\nexport {};\n`;
}

function told({ file, start = 0, messageText, code }: ts.Diagnostic, block: Block): string {
  const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line;
  return `${block.file}:${block.line + 1 + line}: TS${code}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
}
