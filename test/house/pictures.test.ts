// The pictures of the docs: drawn by the scripts that are here, for light and dark, with a text for those who cannot see them.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { drawAll } from '../../docs/scripts/pictures.js';

const folder = fileURLToPath(new URL('../../docs/public/', import.meta.url));
const read = (name: string) => readFileSync(folder + name, 'utf8');
const drawn = drawAll();
const names = [...drawn.keys(), 'demo.svg', 'demo-dark.svg'];

describe('the pictures of the docs', () => {
  it('are what `npm run pictures` draws', () => {
    expect(drawn.size).toBe(14);
    expect([...drawn].filter(([name, text]) => read(name) !== text).map(([name]) => name)).toEqual([]);
  });

  it.each(names)('%s stands alone, and says in words what it shows', (name) => {
    const text = read(name);
    expect(text).toMatch(/<title id="title">[^<]{15,}<\/title>\n<desc id="desc">[^<]{100,}<\/desc>/);
    expect(text.replace('http://www.w3.org/2000/svg', '')).not.toMatch(/<script|href=|url\(|@import|https?:|\son\w+=/);
  });

  it.each(names)('%s has no text smaller than 18 of its 720 units, and none that leaves it', (name) => {
    const text = read(name);
    const sizes = [...text.matchAll(/font(?:-size)?:(\d+)px/g)].map(([, size]) => Number(size));
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(18);
    // Of the widest font: DejaVu Sans.
    const widest = 11.6;
    const beyond = [...text.matchAll(/<text(?: class="([^"]*)")? x="(\d+)"[^>]*>([^<]*)</g)].filter(
      ([, kind = '', x, words = '']) => {
        const width = words.length * widest;
        if (kind.includes('end')) return Number(x) - width < 20;
        return !/title|h1/.test(kind) && Number(x) + (kind.includes('mid') ? width / 2 : width) > 700;
      },
    );
    expect(beyond.map(([, , , words]) => words)).toEqual([]);
  });
});
