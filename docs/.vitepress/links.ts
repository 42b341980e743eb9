/** Links out of docs/, and those of included files of the root, made right for the site. */
import { posix } from 'node:path';

export const repository = 'https://github.com/pg-ladder/pg-ladder';

/** Pages that include a file of the repository's root: their links start there. */
const INCLUDING = new Set(['changelog.md', 'contributing.md']);
/** Files of the root that have a page. */
const PAGES: Readonly<Record<string, string>> = { 'CHANGELOG.md': '/changelog', 'CONTRIBUTING.md': '/contributing' };

/** @returns where a link of a page leads on the site; one that leads out of docs/ goes to the repository */
export function siteLink(page: string, href: string): string {
  if (/^([a-z]+:|#|\/)/i.test(href)) return href;
  const [path = '', anchor] = href.split('#');
  const isIncluding = INCLUDING.has(page);
  const file = posix.normalize(isIncluding ? path : posix.join('docs', posix.dirname(page), path));
  const hash = anchor === undefined ? '' : `#${anchor}`;
  if (file.startsWith('docs/')) return isIncluding ? `/${file.slice('docs/'.length)}${hash}` : href;
  return `${PAGES[file] ?? `${repository}/blob/main/${file}`}${hash}`;
}
