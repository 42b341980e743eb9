import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type DefaultTheme, defineConfig } from 'vitepress';
import { repository, siteLink } from './links.ts';
import { writeLlms } from './llms.ts';
import { type Entry, sections } from './sidebar.ts';

const docs = fileURLToPath(new URL('..', import.meta.url));
const exists = (page: string): boolean => existsSync(`${docs}/${page}.md`);

/** The sidebar of the pages that exist; what is missing is for the check to tell. */
function sidebarOf(entries: readonly Entry[], depth = 0): DefaultTheme.SidebarItem[] {
  return entries.flatMap(({ text, page, items }) => {
    const below = items === undefined ? [] : sidebarOf(items, depth + 1);
    const isPage = page !== undefined && exists(page);
    if (page === 'reference/api/index') below.push(...apiSidebar());
    if (!isPage && below.length === 0) return [];
    return [
      {
        text,
        ...(isPage ? { link: `/${page.replace(/(^|\/)index$/, '$1')}` } : {}),
        ...(below.length > 0 ? { items: below, collapsed: depth > 0 } : {}),
      },
    ];
  });
}

/** The modules of the API, as typedoc lists them; their pages list what is in them. */
function apiSidebar(): DefaultTheme.SidebarItem[] {
  const file = `${docs}/reference/api/typedoc-sidebar.json`;
  if (!existsSync(file)) return [];
  const modules: DefaultTheme.SidebarItem[] = JSON.parse(readFileSync(file, 'utf8'));
  return modules.map(({ text, link }) => ({ text, link })) as DefaultTheme.SidebarItem[];
}

export default defineConfig({
  title: 'pg-ladder',
  description: 'Use PostgreSQL read replicas without ever showing users stale data. A library over node-postgres (pg).',
  lang: 'en',
  base: '/pg-ladder/',
  cleanUrls: true,
  lastUpdated: false,
  // DRAFT=1: while pages that others link to are still being written
  ignoreDeadLinks: process.env['DRAFT'] === '1',
  srcExclude: ['scripts/**', 'node_modules/**'],
  head: [
    ['meta', { name: 'color-scheme', content: 'light dark' }],
    ['link', { rel: 'icon', type: 'image/svg+xml', href: '/pg-ladder/favicon.svg' }],
  ],
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    headers: { level: [2, 3] },
    config(md) {
      md.core.ruler.push('links-from-root', ({ tokens, env }) => {
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' ? token.attrGet('href') : null;
          if (href !== null) token.attrSet('href', siteLink(env.relativePath, href));
        }
      });
      // A table scrolls within itself, and can be scrolled by keyboard.
      md.renderer.rules['table_open'] = () =>
        '<div class="table" tabindex="0" role="group" aria-label="table"><table>\n';
      md.renderer.rules['table_close'] = () => '</table></div>\n';
    },
  },
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start/quick-start', activeMatch: '^/start/' },
      { text: 'Guides', link: '/guide/express', activeMatch: '^/guide/' },
      { text: 'Concepts', link: '/concepts/how-it-works', activeMatch: '^/concepts/' },
      { text: 'Reference', link: '/reference/options', activeMatch: '^/reference/' },
      { text: 'Help', link: '/troubleshooting' },
    ],
    sidebar: sidebarOf(sections),
    outline: { level: [2, 3] },
    externalLinkIcon: false,
    socialLinks: [{ icon: 'github', link: repository, ariaLabel: 'the repository' }],
    search: {
      provider: 'local',
      options: {
        // The API's pages repeat the reference's words, and would stand before them.
        _render: (source, env, md) => {
          if (env.relativePath?.startsWith('reference/api/')) return '';
          return md.render(source, env);
        },
        miniSearch: {
          // Questions are asked in sentences; what makes them sentences finds everything.
          options: {
            processTerm: (term) => {
              const word = term.toLowerCase();
              const isFiller =
                /^(a|an|and|are|as|at|be|by|can|do|does|for|from|how|i|in|is|it|my|of|on|or|that|the|this|to|what|when|where|which|why|with|you|your)$/;
              return isFiller.test(word) ? null : word;
            },
          },
          searchOptions: { fuzzy: 0.2, prefix: true, boost: { title: 4, text: 2, titles: 2 } },
        },
      },
    },
    footer: { message: 'MIT licence' },
  },
  buildEnd: (config) => writeLlms(config, 'https://pg-ladder.github.io'),
});
