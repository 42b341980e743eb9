/** What a run found, as a picture: self-contained SVG, readable on light and on dark ground, small enough to live in the repository. */
import { escaped, svg } from '../src/cli/svg.js';
import { callersOf, type Result } from './bounds.js';
import type { Machine } from './machine.js';
import { POSTGRES_JS, USUAL_REPLICAS } from './plan.js';
import type { Pace, Standing } from './rounds.js';
import { decimal, MIXED_NOTE, whole } from './tables.js';
import { titles, type WorkName } from './works.js';

export interface Chart {
  readonly machine: Machine;
  readonly plan: Pace;
  readonly results: readonly Result[];
}

const PANELS: readonly { readonly work: WorkName; readonly callers: number }[] = [
  { work: 'point', callers: 1 },
  { work: 'point', callers: 16 },
  { work: 'point', callers: 64 },
  { work: 'mixed', callers: 16 },
  { work: 'write', callers: 16 },
];

const WIDTH = 860;
const PLOT = { left: 200, right: 640 };
const ROW = 17;
const BAR = 11;
const HEAD = 76;
const GAP = 40;

const STYLE = `text{font:12px system-ui,sans-serif;fill:#24292f}.h{font-weight:600}.t{font-size:15px;font-weight:600}.s{fill:#57606a}
.own{fill:#0969da}.peer{fill:#8c959f}.limit{fill:#bf8700}.whisker{stroke:#24292f;fill:none}.grid{stroke:#d0d7de}.one{stroke:#57606a}.e{text-anchor:end}.m{text-anchor:middle}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.own{fill:#4493f8}.peer{fill:#6e7681}.limit{fill:#d29922}.whisker{stroke:#e6edf3}.grid{stroke:#3d444d}.one{stroke:#9198a1}}`;

export function chartOf({ machine, plan, results }: Chart): string {
  const panels = PANELS.flatMap(({ work, callers }) => {
    const found = results.find(
      (one) => one.work === work && one.callers === callers && one.replicas === USUAL_REPLICAS,
    );
    return found === undefined ? [] : [{ ...found, standings: shown(found.standings) }];
  });
  const most = Math.max(1, ...panels.flatMap(({ standings }) => standings.map(({ interval }) => interval[1])));
  const x = (ratio: number) => round(PLOT.left + ((PLOT.right - PLOT.left) * ratio) / most);
  const parts: string[] = [];
  let y = HEAD;
  for (const { work, callers, standings } of panels) {
    const bottom = y + standings.length * ROW;
    parts.push(`<text class="h" x="12" y="${y - 6}">${escaped(titles[work])}, ${callersOf(callers)}</text>`);
    for (let ratio = 0; ratio <= most; ratio += most > 10 ? 2 : 1) {
      parts.push(`<path class="${ratio === 1 ? 'one' : 'grid'}" d="M${x(ratio)} ${y}V${bottom}"/>`);
      parts.push(`<text class="s m" x="${x(ratio)}" y="${bottom + 12}">${ratio}</text>`);
    }
    parts.push(...standings.map((standing, row) => bar(standing, y + row * ROW, x)));
    y = bottom + GAP;
  }
  if (panels.some(({ work }) => work === 'mixed')) {
    parts.push(`<text class="s" x="12" y="${y}">${escaped(`Reads and writes: ${MIXED_NOTE}.`)}</text>`);
    y += GAP / 2;
  }
  const { cpu, cores, postgres, node, pg, date } = machine;
  const title = `Times the speed of a bare pg.Pool: median of ${plan.rounds} interleaved rounds, 95 % interval`;
  const place = `${cpu}, ${cores} cores, two replicas on the same machine · PostgreSQL ${postgres}, Node ${node}, pg ${pg} · ${date}`;
  return svg({
    width: WIDTH,
    height: y - GAP / 4,
    title,
    description: place,
    style: STYLE,
    body: [
      `<text class="t" x="12" y="24">${escaped(title)}</text>`,
      `<text class="s" x="12" y="43">${escaped(place)}</text>`,
      ...parts,
    ],
  });
}

function bar(
  { name, ratio, interval, perSecond, checkedCount, staleCount }: Standing,
  top: number,
  x: (r: number) => number,
) {
  const kind = name.startsWith('pg-ladder') ? 'own' : name.startsWith('pgbench') ? 'limit' : 'peer';
  const base = top + ROW - 5;
  const middle = top + 3 + BAR / 2;
  const [low, high] = [x(interval[0]), x(interval[1])];
  const stale = checkedCount === 0 ? '' : staleCount === 0 ? ', 0 stale' : `, ${whole(staleCount)} stale`;
  const whisker = `M${low} ${middle - 3}v6m0-3H${high}m0-3v6`;
  return [
    `<text class="e" x="${PLOT.left - 8}" y="${base}">${escaped(name)}</text>`,
    `<rect class="${kind}" x="${PLOT.left}" y="${top + 3}" width="${round(x(ratio) - PLOT.left)}" height="${BAR}"/>`,
    ...(low === high ? [] : [`<path class="whisker" d="${whisker}"/>`]),
    `<text x="${PLOT.right + 12}" y="${base}">${decimal(ratio)}<tspan class="s" dx="8">${whole(perSecond)}/s${stale}</tspan></text>`,
  ].join('');
}

/** Of a contender with many settings its best one. */
function shown(standings: readonly Standing[]): Standing[] {
  const ran = standings.filter(({ speeds }) => speeds.length > 0);
  const many = ran.filter(({ name }) => name.startsWith(`${POSTGRES_JS} `)).sort((a, b) => b.perSecond - a.perSecond);
  return ran.filter((standing) => !many.includes(standing) || standing === many[0]);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
