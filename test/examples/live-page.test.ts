/** The page of `examples/live.ts` in a browser: its table follows the writes of two processes, and it knows what it missed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenLink, openLink } from '../../src/testing/link.js';
import { report } from '../behaviour/fixture.js';
import { type Browser, chromiumPath, launch, type Page } from '../docs/chromium.js';
import { root } from '../docs/pages.js';

const chromium = chromiumPath();
const isInstalled = existsSync(join(root, 'docs/node_modules/playwright-core'));
const obstacle =
  chromium === undefined
    ? 'no Chromium on the PATH'
    : isInstalled
      ? undefined
      : 'docs/node_modules has no playwright-core (npm ci in docs)';
if (obstacle !== undefined) report('the live page in a browser', { skipped: obstacle });

const PATIENCE_MILLIS = 60_000;

describe.skipIf(obstacle !== undefined)('the live page in a browser', () => {
  let example: ChildProcess;
  /** Of the example itself, where nothing is in the way. */
  let url: string;
  let link: OpenLink;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    example = spawn(process.execPath, ['--import', 'tsx', 'examples/live.ts', '--serve'], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    url = await new Promise((resolve, reject) => {
      example.stdout?.on('data', (part) => {
        said += String(part);
        const [, found] = /^open (http\S+)$/m.exec(said) ?? [];
        if (found !== undefined) resolve(found);
      });
      example.once('exit', (code) => reject(new Error(`it has ended (${code}): ${said}`)));
    });
    link = await openLink({ host: '127.0.0.1', port: Number(new URL(url).port) });
    browser = await launch(chromium as string);
    page = await browser.newPage();
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await link?.close();
    if (example.exitCode === null) {
      example.kill('SIGTERM');
      await once(example, 'exit');
    }
  }, 60_000);

  /** Each of two in a row goes to another process. */
  async function sell(id: number): Promise<void> {
    const { status } = await fetch(`${url}/sell/${id}`, { method: 'POST', headers: { connection: 'close' } });
    expect(status).toBe(204);
  }

  const rows = (): Promise<string[][]> =>
    page.evaluate(
      "[...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent))",
    );
  const says = (text: string): Promise<unknown> =>
    page.waitForFunction(`document.querySelector('#state').textContent === '${text}'`, undefined, {
      timeout: PATIENCE_MILLIS,
    });
  const shows = (...stocks: number[]): Promise<unknown> =>
    page.waitForFunction(
      `[...document.querySelectorAll('tbody tr')].map((row) => row.cells[1].textContent).join() === '${stocks.join()}'`,
      undefined,
      { timeout: PATIENCE_MILLIS },
    );

  it('follows the writes of two processes', async () => {
    await page.goto(`http://127.0.0.1:${link.port}/`);
    await shows(40, 40);
    await says('live');
    await sell(1);
    await sell(2);
    await shows(39, 39);
    expect((await rows()).map(([name]) => name)).toEqual(['lamp', 'chair']);
    expect((await rows()).map(([, , seller]) => seller)).toEqual(expect.arrayContaining(['process 1', 'process 2']));
    await page.click('tbody tr:first-child button');
    await shows(38, 39);
  }, 120_000);

  it('shows the final state after ten changes that it missed, and says that it missed some', async () => {
    link.reset();
    await says('connection lost');
    for (let i = 0; i < 10; i++) await sell(1);
    expect((await rows()).map(([, stock]) => stock)).toEqual(['38', '39']);
    link.restore();
    await says('back: some changes were missed');
    await shows(28, 39);
  }, 120_000);

  it('says that it missed nothing after a break without changes, to whichever process it comes back', async () => {
    for (let i = 0; i < 2; i++) {
      link.reset();
      await says('connection lost');
      link.restore();
      await says('back: nothing was missed');
      await shows(28, 39);
    }
    await sell(2);
    await shows(28, 38);
  }, 120_000);
});
