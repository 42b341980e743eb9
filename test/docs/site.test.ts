/** The site builds, every page is in the sidebar, and no link leads nowhere: neither a page's nor an anchor's. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { listedPages } from '../../docs/.vitepress/sidebar.js';
import { attributes, BASE, builtPages, dist, fileAt } from './built.js';
import { docsPages, exists, read } from './pages.js';

const build = inject('build');
/** Of typedoc, whose own index lists them; and the first page, where the logo leads. */
const isListedElsewhere = (page: string): boolean => page === 'index' || page.startsWith('reference/api/');

const addressOf = (page: string): string => page.replace(/(^|\/)index$/, '$1');

describe('the site', () => {
  it('builds, without network where the machine lets it', async ({ annotate }) => {
    if (!build.isOffline) await annotate('this machine has no network namespaces: built beside the network');
    expect(build.succeeded, build.output).toBe(true);
  });

  it('has API pages of which typedoc has nothing to say', () => {
    const warnings = build.output
      .split('\n')
      .filter((line) => /\[(warning|error)\]/.test(line.replaceAll('\u001B', '')));
    expect(warnings).toEqual([]);
  });

  it('has every page in its sidebar, once', () => {
    const listed = listedPages();
    const pages = docsPages
      .map((file) => file.replace(/^docs\/|\.md$/g, ''))
      .filter((page) => !isListedElsewhere(page));
    expect(pages.filter((page) => !listed.includes(page))).toEqual([]);
    expect(listed.filter((page, index) => listed.indexOf(page) !== index)).toEqual([]);
  });

  it('has a page for every entry of its sidebar', () => {
    expect(exists('docs/index.md'), 'docs/index.md').toBe(true);
    expect(listedPages().filter((page) => fileAt(addressOf(page)) === undefined)).toEqual([]);
  });

  it('has a title and a description on every page', () => {
    const lacking = docsPages.filter((file) => {
      const [, head = ''] = /^---\n([\s\S]*?)\n---\n/.exec(read(file)) ?? [];
      return !(/^title: *\S/m.test(head) && /^description: *\S/m.test(head)) && !/^layout: home/m.test(head);
    });
    expect(lacking).toEqual([]);
  });

  it('has no link to a page, a file or an anchor that is not there', () => {
    const ids = new Map<string, Set<string>>();
    const idsIn = (file: string): Set<string> => {
      if (!ids.has(file)) ids.set(file, new Set(attributes(file, 'id')));
      return ids.get(file)!;
    };
    const dead = new Map<string, string[]>();
    const isDead = (href: string, page: string): void => void dead.set(href, [...(dead.get(href) ?? []), page]);
    for (const page of builtPages()) {
      const own = fileAt(page)!;
      for (const href of [...attributes(own, 'href'), ...attributes(own, 'src')]) {
        if (/^(https?:|mailto:|data:)/.test(href) || href === '#') continue;
        const { pathname, hash } = new URL(href, `http://site${BASE}${page}`);
        const file = pathname.startsWith(BASE) ? fileAt(pathname.slice(BASE.length)) : undefined;
        const anchor = decodeURIComponent(hash.slice(1));
        if (file === undefined) isDead(href, page);
        else if (anchor !== '' && file.endsWith('.html') && !idsIn(file).has(anchor)) isDead(href, page);
      }
    }
    // what stands on every page is told once
    expect([...dead].map(([href, on]) => `${href} on ${on.length > 3 ? `${on.length} pages` : on.join(', ')}`)).toEqual(
      [],
    );
  });

  it('tells machines what it has: llms.txt lists the pages', () => {
    const listed = readFileSync(join(dist, 'llms.txt'), 'utf8');
    const pages = listedPages().filter((page) => !page.startsWith('reference/api/') && exists(`docs/${page}.md`));
    expect(pages.filter((page) => !listed.includes(`${BASE}${addressOf(page)})`))).toEqual([]);
    expect(existsSync(join(dist, 'llms-full.txt'))).toBe(true);
  });
});
