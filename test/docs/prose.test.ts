/** The README is short, its links hold on npm's page too, the prose is easy, and what the pages point to exists. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { measure } from '../../docs/scripts/prose.mjs';
import { docsPages, exists, githubAnchors, linksOf, read, repository, root, sectionsOf, site } from './pages.js';

const MOST_LINES = 250;
const blob = `${repository}/blob/main/`;
const rootPages = ['README.md', 'SECURITY.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md', 'CHANGELOG.md'];
const pages = [...rootPages, ...docsPages];

const told = (files: readonly string[]): string[] => {
  const { over, offenders } = measure(files.map((file) => join(root, file)));
  return over.length === 0
    ? []
    : [
        ...over,
        ...offenders.map(({ file, line, what, text }) => `${file.slice(root.length)}:${line}: ${what}: ${text}`),
      ];
};

describe('README.md', () => {
  it(`has at most ${MOST_LINES} lines`, () => {
    expect(read('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(MOST_LINES);
  });

  it('has absolute links, and anchors that it has', () => {
    const anchors = githubAnchors('README.md');
    const wrong = linksOf('README.md').filter(({ href }) =>
      href.startsWith('#') ? !anchors.has(href.slice(1)) : !href.startsWith('https://'),
    );
    expect(wrong).toEqual([]);
  });

  it('has easy prose', () => {
    expect(told(['README.md'])).toEqual([]);
  });
});

describe('the pages', () => {
  it('have easy prose', () => {
    expect(told(docsPages)).toEqual([]);
  });

  it('link to files of the repository that exist, and to anchors in them', () => {
    const dead = pages.flatMap((file) =>
      linksOf(file)
        .filter(({ href }) => href.startsWith(blob) || href.startsWith(`${repository}/tree/main/`))
        .filter(({ href }) => {
          const [path = '', anchor] = href.slice(blob.length).split('#');
          if (!exists(path)) return true;
          return anchor !== undefined && path.endsWith('.md') && !githubAnchors(path).has(anchor);
        })
        .map(({ line, href }) => `${file}:${line}: ${href}`),
    );
    expect(dead).toEqual([]);
  });

  it('link to pages of the site that exist, and to headings on them', () => {
    const dead = pages.flatMap((file) =>
      linksOf(file)
        .filter(({ href }) => href.startsWith(site))
        .filter(({ href }) => {
          const [path = '', anchor] = href.slice(site.length).split('#');
          if (path.startsWith('reference/api/') || exists(`docs/public/${path}`)) return false;
          const page = `docs/${path === '' || path.endsWith('/') ? `${path}index` : path}.md`;
          return !exists(page) || (anchor !== undefined && !githubAnchors(page).has(anchor));
        })
        .map(({ line, href }) => `${file}:${line}: ${href}`),
    );
    expect(dead).toEqual([]);
  });
});

describe('the guarantees', () => {
  const file = 'docs/concepts/guarantees.md';
  /** Sections that promise nothing. */
  const isNoPromise = /not guaranteed|not covered|next|see also|in short|how to read|limits?$/i;

  it('are each held by a test that the page links to', () => {
    expect(exists(file), `${file} is missing`).toBe(true);
    const sections = sectionsOf(file);
    /** The heading that a section stands below, if there is one. */
    const above = (index: number) => sections.slice(0, index).findLast(({ level }) => level < sections[index]!.level);
    const promises = sections.filter(
      ({ level, title, text }, index) =>
        level > 1 && text.trim() !== '' && !isNoPromise.test(title) && !isNoPromise.test(above(index)?.title ?? ''),
    );
    expect(promises.length).toBeGreaterThan(5);
    expect(
      promises
        .filter(({ text }) => !text.includes(`${blob}test/`))
        .map(({ line, title }) => `${file}:${line}: ${title}`),
    ).toEqual([]);
  });
});
