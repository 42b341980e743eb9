// Measures the prose of Markdown files: README.md and docs/**/*.md, or the files and folders that are named.
//
// Prints the numbers of all files together and of each that is over a limit, then what to shorten as file:line.
// A list item is a paragraph of its own. Link targets, pictures and HTML are no words; code in a line is.
// `node docs/scripts/prose.mjs [--quiet] [files…]` exits 1 over the limits. It needs nothing but Node.
import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const limits = { median: 20, paragraph: 60, sentence: 28, cell: 20, line: 120 };

/** Pages that are not prose of the docs: what typedoc writes, and what the packages bring. */
const IGNORED = /(^|\/)(node_modules|\.vitepress|reference\/api)(\/|$)/;

const ABBREVIATION = /(?:^|[\s(])(?:e\.g|i\.e|etc|vs|cf|no|approx|incl|resp|ca)\.$/i;

/** The Markdown files under `paths`. */
export function markdownFiles(paths) {
  return paths.flatMap((path) => {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { withFileTypes: true })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((entry) => [join(path, entry.name), entry])
      .filter(([file, entry]) => !IGNORED.test(file) && (entry.isDirectory() || entry.name.endsWith('.md')))
      .flatMap(([file]) => markdownFiles([file]));
  });
}

/** The text as it is read: links by their words, code with its dots hidden, no pictures and no HTML. */
function readable(text) {
  return text
    .replace(/<!--[\s\S]*?-->/g, ' ')
    .replace(/(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)/g, (_, _ticks, code) => hidden(code))
    .replace(/!\[[^\]]*\](\([^)]*\)|\[[^\]]*\])/g, ' ')
    .replace(/\[((?:[^[\]]|\[[^\]]*\])*)\](\((?:[^()]|\([^)]*\))*\)|\[[^\]]*\])/g, '$1')
    .replace(/<https?:[^>]*>/g, 'link')
    .replace(/<\/?[a-zA-Z][^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
}

/** Signs of code that would end a sentence or begin a link, moved out of their way: `shown` brings them back. */
const HIDDEN = 0xe000;
const hidden = (code) => code.replace(/[.!?[\]()<>*_]/g, (sign) => String.fromCharCode(HIDDEN + sign.charCodeAt(0)));
const shown = (text) => text.replace(/[\ue000-\ue07f]/g, (sign) => String.fromCharCode(sign.charCodeAt(0) - HIDDEN));

const wordsIn = (text) => text.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length;

/** Splits after `.`, `!`, `?` before what may begin a sentence. */
function sentencesOf(text) {
  const sentences = [];
  let begin = 0;
  for (const { index, 0: end } of text.matchAll(/[.!?]["')\]*_”]*\s+(?=["'(*_“]*[\p{Lu}\p{N}`_])/gu)) {
    const one = text.slice(begin, index + end.length).trim();
    if (ABBREVIATION.test(one)) continue;
    sentences.push(one);
    begin = index + end.length;
  }
  return [...sentences, text.slice(begin).trim()].filter((one) => wordsIn(one) > 0);
}

/** What a file consists of: `paragraphs`, `cells` and `longLines`, each with its line. */
export function blocksOf(source) {
  const paragraphs = [];
  const cells = [];
  const longLines = [];
  let open; // the paragraph that the next line may continue
  let fence;
  let comment = false;
  const close = () => {
    if (open !== undefined && wordsIn(readable(open.raw)) > 0)
      paragraphs.push({ line: open.line, text: readable(open.raw) });
    open = undefined;
  };
  const lines = source.split(/\r?\n/);
  const frontMatterEnd = lines[0] === '---' ? lines.indexOf('---', 1) : -1;
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const text = raw.replace(/^(\s*>)+ ?/, '').trim();
    const fenceMark = /^(`{3,}|~{3,})/.exec(text)?.[1];
    if (fence !== undefined) {
      if (fenceMark?.startsWith(fence) && text === fenceMark) fence = undefined;
      continue;
    }
    if (fenceMark !== undefined) {
      close();
      fence = fenceMark;
      continue;
    }
    const isTable = text.startsWith('|');
    if (!isTable && isTooLong(raw)) longLines.push({ line, text: raw.trim(), length: raw.length });
    if (index <= frontMatterEnd) continue;
    if (comment || (text.startsWith('<!--') && !text.includes('-->'))) {
      comment = !text.includes('-->');
      continue;
    }
    if (isTable) {
      close();
      if (/^[|\s:-]+$/.test(text)) continue;
      for (const cell of text.replace(/^\||\|$/g, '').split(/(?<!\\)\|/)) cells.push({ line, text: readable(cell) });
      continue;
    }
    const item = /^(?:[-*+]|\d+[.)])\s+(.*)$/.exec(text);
    if (text === '' || /^(#{1,6}\s|:::|={3,}$|-{3,}$|\[[^\]]+\]:\s|<!--.*-->$)/.test(text)) close();
    else if (item) {
      close();
      open = { line, raw: item[1] };
    } else if (open === undefined) open = { line, raw: text };
    else open.raw += `\n${text}`;
  }
  close();
  return { paragraphs, cells, longLines };
}

/** A line that cannot be broken, such as a link of its own, may be longer. */
function isTooLong(line) {
  if (line.length <= limits.line) return false;
  const longest = Math.max(...line.split(/\s+/).map((word) => word.length));
  return longest < 90 || line.length - longest > 30;
}

/** The value that `share` of the sorted numbers do not exceed. */
function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

/** The numbers of `files`, and what is over a limit in them. `read` gives a file's text. */
export function measure(files, read = (file) => readFileSync(file, 'utf8')) {
  const all = files.map((file) => ({ file, ...blocksOf(read(file)) }));
  const each = (kind) => all.flatMap((one) => one[kind].map((block) => ({ file: one.file, ...block })));
  const counted = (blocks) => blocks.map((block) => ({ ...block, words: wordsIn(block.text) }));
  const paragraphs = counted(each('paragraphs'));
  const sentences = counted(
    paragraphs.flatMap(({ file, line, text }) => sentencesOf(text).map((one) => ({ file, line, text: one }))),
  );
  const cells = counted(each('cells'));
  const longLines = each('longLines');
  const words = (blocks) => blocks.map((block) => block.words);
  const numbers = {
    median: quantile(words(paragraphs), 0.5),
    paragraph: quantile(words(paragraphs), 0.95),
    sentence: quantile(words(sentences), 0.95),
    cell: Math.max(0, ...words(cells)),
    longLines: longLines.length,
  };
  const over = [
    ...(numbers.median > limits.median ? [`median paragraph ${numbers.median} words > ${limits.median}`] : []),
    ...(numbers.paragraph > limits.paragraph
      ? [`95 % of paragraphs ${numbers.paragraph} words > ${limits.paragraph}`]
      : []),
    ...(numbers.sentence > limits.sentence ? [`95 % of sentences ${numbers.sentence} words > ${limits.sentence}`] : []),
    ...(numbers.cell > limits.cell ? [`longest table cell ${numbers.cell} words > ${limits.cell}`] : []),
    ...(numbers.longLines > 0 ? [`${numbers.longLines} lines over ${limits.line} characters`] : []),
  ];
  const tell = (what) => (block) => ({
    ...block,
    text: shown(block.text),
    what: `${what} of ${block.words ?? block.length}`,
  });
  const offenders = [
    ...paragraphs.filter((one) => one.words > limits.paragraph).map(tell('paragraph')),
    ...sentences.filter((one) => one.words > limits.sentence).map(tell('sentence')),
    ...cells.filter((one) => one.words > limits.cell).map(tell('cell')),
    ...longLines.map(tell('line')),
  ];
  const counts = { paragraphs: paragraphs.length, sentences: sentences.length, cells: cells.length };
  return { numbers, counts, over, offenders };
}

function main() {
  const quiet = process.argv.includes('--quiet');
  const named = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
  const paths = named.length > 0 ? named : ['README.md', 'docs'];
  const files = markdownFiles(paths);
  const name = (file) => relative('', file);
  const row = ({ numbers, counts }) =>
    `paragraph median ${numbers.median}, p95 ${numbers.paragraph} (${counts.paragraphs}); ` +
    `sentence p95 ${numbers.sentence} (${counts.sentences}); cell max ${numbers.cell}; long lines ${numbers.longLines}`;
  const whole = measure(files);
  if (!quiet) {
    for (const { file, line, what, text } of whole.offenders) console.log(`${name(file)}:${line}: ${what}: ${text}`);
    if (files.length > 1) {
      const each = files.map((file) => ({ file, ...measure([file]) })).filter(({ over }) => over.length > 0);
      if (each.length > 0) console.log('\nfiles that are over a limit by themselves:');
      for (const one of each) console.log(`${name(one.file)}: ${one.over.join('; ')}`);
    }
    console.log('');
  }
  console.log(`${files.length} files: ${row(whole)}`);
  for (const one of whole.over) console.log(`OVER: ${one}`);
  process.exitCode = whole.over.length > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main();
