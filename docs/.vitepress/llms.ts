/** llms.txt: the pages with their titles and descriptions; llms-full.txt: their whole text. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SiteConfig } from 'vitepress';
import { type Entry, listedPages, sections } from './sidebar.ts';

const frontMatter = (source: string, name: string): string | undefined =>
  new RegExp(`^${name}:\\s*(.+)$`, 'm')
    .exec(/^---\n([\s\S]*?)\n---/.exec(source)?.[1] ?? '')?.[1]
    ?.replace(/^(['"])(.*)\1$/, '$2');

export function writeLlms({ srcDir, outDir, site, pages }: SiteConfig, origin: string): void {
  const known = new Set(pages);
  const lines = [`# ${site.title}`, '', `> ${site.description}`];
  const texts: string[] = [];
  const add = ({ text, page, items = [] }: Entry): void => {
    if (page !== undefined && known.has(`${page}.md`)) {
      const source = readFileSync(join(srcDir, `${page}.md`), 'utf8');
      const address = `${origin}${site.base}${page.replace(/(^|\/)index$/, '$1')}`;
      const description = frontMatter(source, 'description');
      lines.push(`- [${frontMatter(source, 'title') ?? text}](${address})${description ? `: ${description}` : ''}`);
      const body = source
        .replace(/^---\n[\s\S]*?\n---\n/, '')
        .replace(/<!--@include: (\S+)-->/g, (_, path: string) => readFileSync(join(srcDir, path), 'utf8'));
      if (!page.startsWith('reference/api/')) texts.push(`<!-- ${address} -->\n${body.trim()}\n`);
    }
    for (const item of items) add(item);
  };
  for (const section of sections) {
    if (!listedPages([section]).some((page) => known.has(`${page}.md`))) continue;
    lines.push('', `## ${section.text}`, '');
    add(section);
  }
  writeFileSync(join(outDir, 'llms.txt'), `${lines.join('\n')}\n`);
  writeFileSync(join(outDir, 'llms-full.txt'), texts.join('\n'));
}
