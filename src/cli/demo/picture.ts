/**
 * The figures of a run as a picture: a bar of all reads for each strategy, with its share on
 * replicas and from a cache, and stale reads in red. Pure.
 */
import { escaped, FONT, svg, type Theme, themes } from '../svg.js';
import { count, type Figures, millis, percent, share } from './report.js';

const WIDTH = 720;
const LEFT = 28;
const BAR = { width: WIDTH - 2 * LEFT, height: 26 };
const LINE = 25;
const ROW = 118;
/** Characters of a note that fit beside each other in the widest of the fonts. */
const COLUMNS = 58;
/** What is there is seen, however little it is of the whole. */
const LEAST_WIDTH = 4;

export interface Drawing {
  readonly titles: readonly string[];
  readonly figures: readonly Figures[];
  /** What ran, in sentences. */
  readonly setting: readonly string[];
  /** The findings in words. */
  readonly conclusions: readonly string[];
}

export function picture(drawing: Drawing, theme: keyof typeof themes): string {
  const { titles, figures, setting, conclusions } = drawing;
  const lines = wrapped(setting.join(' '));
  const legendTop = 70 + lines.length * LINE;
  const top = legendTop + 36;
  const height = top + figures.length * ROW;
  const rows = figures.flatMap((each, index) => row(titles[index] ?? each.strategy, each, top + index * ROW));
  return svg({
    width: WIDTH,
    height,
    title: 'pg-ladder demo: stale reads, and reads on replicas',
    description: [...setting, ...figures.map((each, index) => inWords(titles[index] ?? '', each)), ...conclusions].join(
      ' ',
    ),
    style: styleOf(themes[theme]),
    body: [
      `<rect class="paper" x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="12"/>`,
      text('title', LEFT, 46, 'Who was shown old data?'),
      ...lines.map((line, index) => text('note', LEFT, 76 + index * LINE, line)),
      ...legend(legendTop),
      ...rows,
    ],
  });
}

function legend(y: number): string[] {
  const items = [
    ['replica', 'fresh, replica', LEFT],
    ['kept', 'fresh, cache', 226],
    ['stale', 'stale', 404],
    ['primary', 'primary', 512],
  ] as const;
  return items.flatMap(([kind, words, x]) => [
    `<rect class="${kind}" x="${x}" y="${y}" width="16" height="16" rx="3"/>`,
    text('note', x + 24, y + 15, words),
  ]);
}

/** A stale read was a replica's or a cache's: the primary has every save. */
function row(title: string, figures: Figures, y: number): string[] {
  const { readCount, staleCount, staleKeptCount, replicaShare, cacheShare, readP50Millis, readP99Millis } = figures;
  const stale = widthOf(share(staleCount, readCount));
  const freshOf = (all: number, old: number) => widthOf(Math.max(0, all - share(old, readCount)));
  const kept = Math.min(BAR.width - stale, freshOf(cacheShare, staleKeptCount));
  const fresh = Math.min(BAR.width - stale - kept, freshOf(replicaShare, staleCount - staleKeptCount));
  const barTop = y + 38;
  const isStale = staleCount > 0;
  const verdict = isStale ? `${percent(share(staleCount, readCount))} stale` : '0 stale';
  return [
    text('name', LEFT, y + 26, title),
    text(`name end${isStale ? ' bad' : ''}`, LEFT + BAR.width, y + 26, verdict),
    rect('primary', LEFT, barTop, BAR.width),
    rect('replica', LEFT, barTop, fresh),
    rect('kept', LEFT + fresh, barTop, kept),
    rect('stale', LEFT + fresh + kept, barTop, stale),
    text('note', LEFT, barTop + 50, `${percent(replicaShare)} on replicas${inCache(cacheShare)}`),
    text('note end', LEFT + BAR.width, barTop + 50, `p50 ${millis(readP50Millis)}, p99 ${millis(readP99Millis)}`),
  ];
}

function inWords(title: string, { readCount, staleCount, replicaShare, cacheShare }: Figures): string {
  return `${title}: ${count(staleCount)} of ${count(readCount)} reads stale, ${percent(replicaShare)} on replicas${inCache(cacheShare)}.`;
}

function inCache(cacheShare: number): string {
  return cacheShare === 0 ? '' : `, ${percent(cacheShare)} cached`;
}

function wrapped(words: string): string[] {
  return words.match(new RegExp(`.{1,${COLUMNS}}(?= |$)`, 'g'))?.map((line) => line.trim()) ?? [];
}

function widthOf(part: number): number {
  return part === 0 ? 0 : Math.max(LEAST_WIDTH, Math.round(part * BAR.width));
}

function rect(kind: string, x: number, y: number, width: number): string {
  return width === 0 ? '' : `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${BAR.height}"/>`;
}

function text(kind: string, x: number, y: number, words: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escaped(words)}</text>`;
}

function styleOf({ paper, edge, ink, faint, track, good, kept, bad }: Theme): string {
  return (
    `text{font:19px ${FONT};fill:${ink}}.title{font-size:27px;font-weight:700}.name{font-size:22px;font-weight:600}` +
    `.note{fill:${faint}}.end{text-anchor:end}.bad{fill:${bad}}` +
    `.paper{fill:${paper};stroke:${edge}}.replica{fill:${good}}.kept{fill:${kept}}.primary{fill:${track}}.stale{fill:${bad}}`
  );
}
