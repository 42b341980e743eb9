/** The Markdown of the repository as its checks see it: pages, code blocks, tables, headings, links. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { markdownFiles } from '../../docs/scripts/prose.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const repository = 'https://github.com/pg-ladder/pg-ladder';
export const site = 'https://pg-ladder.github.io/pg-ladder/';

export const read = (file: string): string => readFileSync(join(root, file), 'utf8');
export const exists = (file: string): boolean => existsSync(join(root, file));

/** Every page of docs/ but typedoc's, from the root. */
export const docsPages: readonly string[] = markdownFiles([join(root, 'docs')]).map((file: string) =>
  file.slice(root.length).replaceAll('\\', '/'),
);

export interface Block {
  readonly file: string;
  /** The line of the fence; the code begins on the next one. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  readonly marks: {
    readonly run: boolean;
    readonly noCompile: string | undefined;
    /** The name by which other blocks of the page import it. */
    readonly savedAs: string | undefined;
    /** Whether a comment says that name. */
    readonly isNamed: boolean;
  };
}

export interface Table {
  /** The text of the nearest heading above, and those around it. */
  readonly headings: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly { readonly line: number; readonly cells: readonly string[] }[];
}

interface Line {
  readonly line: number;
  readonly text: string;
}

/** The lines outside of code, comments and front matter, and the code. */
function partsOf(file: string, source: string): { readonly lines: Line[]; readonly blocks: Block[] } {
  const lines: Line[] = [];
  const blocks: Block[] = [];
  /** Where the lines begin that stand above the next block. */
  let since = 0;
  let fence: { marks: string; indent: number; language: string; line: number; code: string[] } | undefined;
  const all = source.split(/\r?\n/);
  const bodyAt = all[0] === '---' ? all.indexOf('---', 1) + 1 : 0;
  for (const [index, text] of all.entries()) {
    if (index < bodyAt) continue;
    const opening = /^(\s*)(`{3,}|~{3,})\s*([\w+-]*)/.exec(text);
    if (fence === undefined) {
      if (opening === null) lines.push({ line: index + 1, text });
      else {
        const [, indent = '', marks = '', language = ''] = opening;
        fence = { marks, indent: indent.length, language, line: index + 1, code: [] };
      }
    } else if (opening?.[2]?.startsWith(fence.marks) && text.trim() === opening[2]) {
      const { language, line, code } = fence;
      blocks.push({ file, line, language, code: code.join('\n'), marks: marksOf(lines.slice(since)) });
      since = lines.length;
      fence = undefined;
    } else fence.code.push(text.slice(Math.min(fence.indent, text.length - text.trimStart().length)));
  }
  if (fence !== undefined) throw new Error(`${file}:${fence.line}: a code block that does not end`);
  return { lines, blocks };
}

/** What the comments above a block say (the formatter may leave empty lines there), or the sentence before: "Save this as `x.ts`". */
function marksOf(above: readonly Line[]): Block['marks'] {
  const isComment = ({ text }: Line): boolean => /^\s*(<!--.*-->\s*)?$/.test(text);
  const last = above.findLastIndex((line) => !isComment(line));
  const said = above
    .slice(last + 1)
    .map(({ text }) => text)
    .join('\n');
  const sentence = above.slice(0, last + 1).findLast(({ text }) => text.trim() !== '')?.text ?? '';
  const named = /<!--\s*file:\s*(\S+)\s*-->/.exec(said)?.[1];
  return {
    run: /<!--\s*run\s*-->/.test(said),
    noCompile: /<!--\s*no-compile:\s*(.*?)\s*-->/.exec(said)?.[1],
    savedAs: named ?? /\bsave (?:this|it) as `([\w./-]+\.ts)`/i.exec(sentence)?.[1],
    isNamed: named !== undefined,
  };
}

export function blocksOf(file: string, source = read(file)): Block[] {
  return partsOf(file, source).blocks;
}

/** The text without code blocks, by lines. */
export function linesOf(
  file: string,
  source = read(file),
): readonly { readonly line: number; readonly text: string }[] {
  return partsOf(file, source).lines;
}

export function tablesOf(file: string, source = read(file)): Table[] {
  const tables: { headings: string[]; head: string[]; rows: { line: number; cells: string[] }[] }[] = [];
  let headings: string[] = [];
  let open: (typeof tables)[number] | undefined;
  for (const { line, text } of linesOf(file, source)) {
    const heading = /^(#+)\s+(.*)$/.exec(text);
    if (heading !== null) {
      const [, marks = '', words = ''] = heading;
      headings = [...headings.slice(0, marks.length - 1), words];
    }
    if (!text.trim().startsWith('|')) {
      open = undefined;
      continue;
    }
    const cells = text
      .trim()
      .replace(/^\||\|$/g, '')
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    if (open === undefined) {
      open = { headings: headings.filter((one) => one !== undefined), head: cells, rows: [] };
      tables.push(open);
    } else if (!/^[|\s:-]+$/.test(text)) open.rows.push({ line, cells });
  }
  return tables;
}

export interface Section {
  readonly line: number;
  readonly level: number;
  readonly title: string;
  readonly text: string;
}

/** Each heading with the text up to the next one, of whatever level. */
export function sectionsOf(file: string, source = read(file)): Section[] {
  const sections: { line: number; level: number; title: string; text: string }[] = [];
  for (const { line, text } of linesOf(file, source)) {
    const [, marks, title] = /^(#+)\s+(.*)$/.exec(text) ?? [];
    if (marks !== undefined && title !== undefined) sections.push({ line, level: marks.length, title, text: '' });
    else if (sections.length > 0) sections.at(-1)!.text += `${text}\n`;
  }
  return sections;
}

/** The targets of links and pictures, of Markdown's and HTML's kind. */
export function linksOf(file: string, source = read(file)): { readonly line: number; readonly href: string }[] {
  return linesOf(file, source).flatMap(({ line, text }) => {
    const plain = text.replace(/`[^`]*`/g, '');
    const found = [
      ...plain.matchAll(/\]\(\s*<?([^)>\s]+)>?[^)]*\)/g),
      ...plain.matchAll(/^\s*\[[^\]]+\]:\s*<?([^>\s]+)/g),
      ...plain.matchAll(/\b(?:href|src|srcset)="([^"]+)"/g),
    ];
    return found.map(([, href = '']) => ({ line, href }));
  });
}

/** The anchors of a page's headings, as GitHub names them. */
export function githubAnchors(file: string): Set<string> {
  const anchors = new Set<string>();
  for (const { text } of linesOf(file)) {
    const [, heading] = /^#+\s+(.*)$/.exec(text) ?? [];
    for (const [, id = ''] of text.matchAll(/\b(?:id|name)="([^"]+)"/g)) anchors.add(id);
    if (heading === undefined) continue;
    const plain = heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/\s*\{#.*\}$/, '')
      .toLowerCase();
    const name = plain.replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
    let anchor = name;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${name}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}
