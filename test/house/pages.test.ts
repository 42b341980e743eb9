// The pages for contributors: their links, anchors and file names lead somewhere, and the picture shows every layer.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const pages = ['ARCHITECTURE.md', 'CONTRIBUTING.md'];
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const exists = (file: string): boolean => existsSync(join(root, file));

/** What stands between backticks and has a folder or a file's ending. */
const PATH = /`((?:\.?[\w-]+\/)+[\w.-]*|[\w-]+\.(?:ts|mjs|md|json))`/g;

function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '');
}

/** The anchors of a page's headings, as GitHub names them. */
function anchorsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function linksOf(
  text: string,
): { readonly link: string; readonly file: string; readonly anchor: string | undefined }[] {
  return [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^\w+:/.test(link)) return [];
    const [file = '', anchor] = link.split('#');
    return [{ link, file, anchor }];
  });
}

/** What a page names that is not there. */
function complaints(page: string, text: string): string[] {
  const found: string[] = [];
  for (const { link, file, anchor } of linksOf(text)) {
    const target = file === '' ? page : posix.join(posix.dirname(page), file);
    if (!exists(target)) found.push(link);
    else if (anchor !== undefined && !anchorsOf(target === page ? text : read(target)).includes(anchor))
      found.push(link);
  }
  for (const [, path = ''] of withoutCode(text).matchAll(PATH)) {
    // Within a link's text the file's own name is enough; elsewhere it is a path from the root, or a package's door.
    const isLinked = linksOf(text).some(({ file }) => file === path || file.endsWith(`/${path}`));
    if (!isLinked && !exists(path) && !path.startsWith('pg-ladder/')) found.push(path);
  }
  return found;
}

describe('the pages for contributors', () => {
  it.each(pages)('%s names no file and no heading that is not there', (page) => {
    const text = read(page);
    expect(linksOf(text).length).toBeGreaterThan(10);
    expect(complaints(page, text)).toEqual([]);
  });

  it('would be told of names that lead nowhere', () => {
    const text = [
      '# Some words, and `more`',
      '[a](#some-words-and-more) [b](#nowhere) [c](src/nowhere.ts) [d](README.md#nowhere) [e](https://example.org/x)',
      '`src/calls.ts` `src/gone.ts` `gone.md` `pg-ladder/http` `npm run check` [`route.ts`](src/execute/route.ts)',
    ].join('\n\n');
    const wrong = ['#nowhere', 'src/nowhere.ts', 'README.md#nowhere', 'src/gone.ts', 'gone.md'];
    expect(complaints('ARCHITECTURE.md', text)).toEqual(wrong);
  });

  it('show every room of the list of layers, and no other', () => {
    const [, list = ''] = /^const layers = \[\n([\s\S]*?)^\];$/m.exec(read('test/house/layers.test.ts')) ?? [];
    const rooms = [...list.matchAll(/'([\w-]+)'/g)].map(([, room]) => room);
    const drawn = [...read('docs/architecture.svg').matchAll(/<text class="m"[^>]*>([^<]*)</g)].map(([, room]) => room);
    expect(rooms.length).toBeGreaterThan(20);
    expect(new Set(drawn)).toEqual(new Set(rooms));
  });
});
