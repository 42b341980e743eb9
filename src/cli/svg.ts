/**
 * Pictures as SVG that stand alone: system fonts, no script, no other file, and a text for those
 * who cannot see them. Knows nothing of what is drawn. Pure.
 */

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** What it is, in a few words. */
  readonly title: string;
  /** What it shows, for those who cannot see it. */
  readonly description: string;
  readonly style: string;
  /** Elements of SVG. */
  readonly body: readonly string[];
}

export interface Theme {
  readonly paper: string;
  readonly edge: string;
  readonly ink: string;
  readonly faint: string;
  readonly track: string;
  readonly good: string;
  readonly kept: string;
  readonly bad: string;
}

/** Colours of text reach a contrast of 4.5 to 1 on the paper. */
export const themes = {
  light: {
    paper: '#ffffff',
    edge: '#d0d7de',
    ink: '#1f2328',
    faint: '#59636e',
    track: '#c1c9d2',
    good: '#0969da',
    kept: '#2da44e',
    bad: '#d1242f',
  },
  dark: {
    paper: '#0d1117',
    edge: '#3d444d',
    ink: '#f0f6fc',
    faint: '#9198a1',
    track: '#4b535d',
    good: '#4493f8',
    kept: '#3fb950',
    bad: '#ff6a69',
  },
} as const satisfies Record<string, Theme>;

export const FONT = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif";

export function svg({ width, height, title, description, style, body }: Picture): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="title desc">
<title id="title">${escaped(title)}</title>
<desc id="desc">${escaped(description)}</desc>
<style>${style}</style>
${body.join('\n')}
</svg>
`;
}

/** Text as it may stand in an element or an attribute. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
