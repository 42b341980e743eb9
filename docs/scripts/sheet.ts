/** A sheet to draw on: boxes, arrows and words, in the style that all pictures of the docs share. */
import { escaped, FONT, svg, themes } from '../../src/cli/svg.js';

export type ThemeName = keyof typeof themes;
export const WIDTH = 720;

/** Beside the colours of the theme: of grounds, and of servers. */
const grounds = {
  light: { plain: '#f6f8fa', replica: '#ddf4ff', primary: '#eaeef2', stale: '#ffebe9' },
  dark: { plain: '#161b22', replica: '#0f2a47', primary: '#2b323b', stale: '#43191b' },
} as const;

export type Ground = keyof (typeof grounds)['light'];
export type Kind = 'line' | 'good' | 'bad' | 'faint';

export class Sheet {
  readonly #body: string[] = [];

  /** Words at a place; `class` is any of `h1`, `b` (bold), `faint`, `good`, `bad`, `mid`, `end`, `code`, `halo` (over lines). */
  text(x: number, y: number, words: string, kind = ''): this {
    this.#body.push(`<text${kind === '' ? '' : ` class="${kind}"`} x="${x}" y="${y}">${escaped(words)}</text>`);
    return this;
  }

  /** Lines of words, one below the other. */
  lines(x: number, y: number, words: readonly string[], kind = '', step = 25): this {
    words.forEach((line, index) => {
      this.text(x, y + index * step, line, kind);
    });
    return this;
  }

  box(x: number, y: number, width: number, height: number, ground: Ground = 'plain'): this {
    this.#body.push(`<rect class="box ${ground}" x="${x}" y="${y}" width="${width}" height="${height}" rx="8"/>`);
    return this;
  }

  /** A box with one line of words in its middle. */
  label(x: number, y: number, width: number, words: string, ground: Ground = 'plain', height = 40): this {
    return this.box(x, y, width, height, ground).text(x + width / 2, y + height / 2 + 7, words, 'b mid');
  }

  path(data: string, kind: Kind = 'line', isDashed = false): this {
    this.#body.push(`<path class="${kind}${isDashed ? ' dashed' : ''}" d="${data}"/>`);
    return this;
  }

  /** Along a straight line, with a head at its end. */
  arrow(x1: number, y1: number, x2: number, y2: number, kind: Kind = 'line', isDashed = false): this {
    const length = Math.hypot(x2 - x1, y2 - y1);
    const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
    const corner = (side: number) => `${round(x2 - 12 * ux - side * 6 * uy)} ${round(y2 - 12 * uy + side * 6 * ux)}`;
    this.path(`M${x1} ${y1}L${round(x2 - 8 * ux)} ${round(y2 - 8 * uy)}`, kind, isDashed);
    this.#body.push(`<path class="head ${kind}" d="M${x2} ${y2}L${corner(1)}L${corner(-1)}Z"/>`);
    return this;
  }

  dot(x: number, y: number, radius: number, kind: Kind = 'line'): this {
    this.#body.push(`<circle class="head ${kind}" cx="${x}" cy="${y}" r="${radius}"/>`);
    return this;
  }

  /** A step's number. */
  step(x: number, y: number, number: number): this {
    this.dot(x, y, 15, 'good');
    return this.text(x, y + 7, String(number), 'b mid on');
  }

  draw(theme: ThemeName, height: number, title: string, description: string): string {
    const { paper, edge, ink, faint, track, good, bad } = themes[theme];
    const ground = Object.entries(grounds[theme]).map(([name, colour]) => `.${name}{fill:${colour}}`);
    return svg({
      width: WIDTH,
      height,
      title,
      description,
      style:
        `text{font:19px ${FONT};fill:${ink}}.h1{font-size:25px;font-weight:700}.b{font-weight:600}` +
        `.code{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:18px}.mid{text-anchor:middle}` +
        `.end{text-anchor:end}text.faint{fill:${faint}}text.good{fill:${good}}text.bad{fill:${bad}}text.on{fill:${paper}}` +
        `.halo{paint-order:stroke;stroke:${paper};stroke-width:6px;stroke-linejoin:round}` +
        `.paper{fill:${paper};stroke:${edge}}.box{stroke:${edge}}${ground.join('')}` +
        `path{stroke:${ink};stroke-width:2;fill:none}path.good{stroke:${good}}path.bad{stroke:${bad}}` +
        `path.faint{stroke:${track}}.dashed{stroke-dasharray:6 5}` +
        `path.head{stroke:none}.head{fill:${ink}}.head.good{fill:${good}}.head.bad{fill:${bad}}.head.faint{fill:${track}}`,
      body: [`<rect class="paper" x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="12"/>`, ...this.#body],
    });
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
