/** The site in a browser: no error, no other host, nothing wider than the screen, nothing that shuts people out; and its search. */

import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BASE, builtPages, serve } from './built.js';
import { axeSource, type Browser, chromiumPath, launch, type Page } from './chromium.js';
import { questions } from './questions.js';

const chromium = chromiumPath();
if (chromium === undefined) console.warn('no Chromium on the PATH: the site is not looked at in a browser');

/** Of typedoc's pages, which are alike, one of each kind is looked at. */
const SAMPLES = [
  'reference/api/',
  'reference/api/pg-ladder/',
  'reference/api/pg-ladder/classes/Cluster',
  'reference/api/pg-ladder/interfaces/ClusterBehaviour',
  'reference/api/pg-ladder/type-aliases/Reason',
  'reference/api/pg-ladder/functions/createCluster',
];
/** Looked at whole, with menus and sidebars. */
const WHOLE = ['', 'start/quick-start', 'reference/options', 'reference/api/pg-ladder/classes/Cluster'];
const VIEWS = [
  { colorScheme: 'light', width: 1280 },
  { colorScheme: 'dark', width: 1280 },
  { colorScheme: 'dark', width: 390 },
  { colorScheme: 'light', width: 390 },
] as const;
/** Pages that are looked at side by side. */
const WORKERS = 3;

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly help: string;
  readonly nodes: readonly string[];
}

describe.skipIf(chromium === undefined)('the site in a browser', () => {
  let browser: Browser;
  let server: Server;
  let origin: string;

  beforeAll(async () => {
    ({ server, origin } = await serve());
    browser = await launch(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    server?.closeAllConnections();
    server?.close();
  });

  /** Opens a tab, and writes down what goes wrong in it. */
  async function open(complaints: string[]): Promise<Page & { at: string }> {
    const page = Object.assign(await browser.newPage({ reducedMotion: 'reduce' }), { at: '' });
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(`${page.at}: console: ${message.text()}`);
    });
    page.on('pageerror', (error) => complaints.push(`${page.at}: ${error.message}`));
    page.on('request', (request) => {
      if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(origin))
        complaints.push(`${page.at}: asks ${request.url()}`);
    });
    return page;
  }

  async function lookAt(
    page: Page & { at: string },
    address: string,
    axe: string,
    complaints: string[],
  ): Promise<void> {
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1280, height: 900 });
    page.at = address;
    await page.goto(`${origin}${BASE}${address}`);
    await page.waitForFunction('document.querySelector("#app")?.__vue_app__ !== undefined');
    await page.evaluate(axe);
    for (const { colorScheme, width } of VIEWS) {
      page.at = `${address} (${colorScheme}, ${width})`;
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.waitForFunction(`document.documentElement.classList.contains('dark') === ${colorScheme === 'dark'}`);
      const tooWide = await page.evaluate<number>('document.documentElement.scrollWidth - window.innerWidth');
      if (tooWide > 0) complaints.push(`${page.at}: ${tooWide} px wider than the screen`);
      // what is around the text is the same on all pages of a kind: on the samples it is looked at, too, and at all sizes
      const isWhole = WHOLE.includes(address);
      if (width !== 1280 && !isWhole) continue;
      const scope = isWhole ? 'document' : "{ include: ['.VPContent'] }";
      const rules = colorScheme === 'dark' ? "runOnly: ['color-contrast']" : "resultTypes: ['violations']";
      const findings = await page.evaluate<Finding[]>(`axe.run(${scope}, { ${rules} }).then(({ violations }) =>
        violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, impact, help, nodes }) =>
          ({ id, impact, help, nodes: nodes.slice(0, 3).map(({ html, any }) => html.slice(0, 160) + ' ' + (any[0]?.message ?? '')) })))`);
      for (const { id, impact, help, nodes } of findings)
        complaints.push(`${page.at}: ${impact}: ${id}: ${help}: ${nodes.join(' | ')}`);
    }
  }

  it('shows every page in light and dark, wide and narrow', async () => {
    const axe = readFileSync(axeSource(), 'utf8');
    const addresses = builtPages().filter((page) => !page.startsWith('reference/api/') || SAMPLES.includes(page));
    expect(addresses).toEqual(expect.arrayContaining(SAMPLES));
    const complaints: string[] = [];
    const worker = async (): Promise<void> => {
      const page = await open(complaints);
      for (let address = addresses.pop(); address !== undefined; address = addresses.pop())
        await lookAt(page, address, axe, complaints);
      await page.close();
    };
    await Promise.all(Array.from({ length: WORKERS }, worker));
    expect(complaints).toEqual([]);
  }, 1_200_000);

  it('finds what users of other tools ask for among the first three', async () => {
    expect(questions.length).toBeGreaterThanOrEqual(20);
    const complaints: string[] = [];
    const page = await open(complaints);
    await page.goto(`${origin}${BASE}`);
    await page.waitForFunction('document.querySelector("#app")?.__vue_app__ !== undefined');
    await page.click('.VPNavBarSearchButton, .DocSearch-Button, #local-search button');
    for (const { ask, pages } of questions) {
      page.at = ask;
      await page.fill('#localsearch-input', '');
      await page.waitForFunction('document.querySelectorAll(".VPLocalSearchBox .result").length === 0');
      await page.fill('#localsearch-input', ask);
      await page.waitForFunction(
        'document.querySelectorAll(".VPLocalSearchBox .result, .VPLocalSearchBox .no-results").length > 0',
      );
      const found = await page.evaluate<string[]>(
        `[...document.querySelectorAll('.VPLocalSearchBox .result')].slice(0, 3).map((one) => one.getAttribute('href'))`,
      );
      const addresses = found.map((href) => href.replace(BASE, '').replace(/#.*$/, ''));
      const wanted = pages.map((one) => one.replace(/(^|\/)index$/, '$1'));
      if (!addresses.some((one) => wanted.includes(one)))
        complaints.push(`"${ask}" finds ${found.join(', ') || 'nothing'}`);
    }
    await page.close();
    expect(complaints).toEqual([]);
  }, 120_000);
});
