/** The browser of the tests: Debian's Chromium by docs' own playwright-core, of which this is the part that is used. */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './pages.js';

export interface Page {
  goto(url: string, options?: { waitUntil?: 'load' | 'networkidle' }): Promise<unknown>;
  evaluate<T>(fn: string): Promise<T>;
  setViewportSize(size: { width: number; height: number }): Promise<void>;
  emulateMedia(media: { colorScheme: 'light' | 'dark' }): Promise<void>;
  waitForFunction(fn: string, argument?: unknown, options?: { timeout: number }): Promise<unknown>;
  fill(selector: string, value: string): Promise<void>;
  click(selector: string): Promise<void>;
  on(event: 'console', listener: (message: { type(): string; text(): string }) => void): void;
  on(event: 'pageerror', listener: (error: Error) => void): void;
  on(event: 'request', listener: (request: { url(): string }) => void): void;
  screenshot(options: { path: string; fullPage?: boolean }): Promise<unknown>;
  close(): Promise<void>;
}

export interface Browser {
  newPage(options?: { reducedMotion?: 'reduce'; offline?: boolean }): Promise<Page>;
  close(): Promise<void>;
}

const require = createRequire(join(root, 'docs/package.json'));

/** Where Chromium is on this machine; `undefined` without one. */
export function chromiumPath(): string | undefined {
  const found = spawnSync('sh', [
    '-c',
    'command -v chromium || command -v chromium-browser || command -v google-chrome',
  ]);
  return found.stdout.toString().trim() || undefined;
}

export async function launch(executablePath: string): Promise<Browser> {
  const { chromium } = require('playwright-core') as {
    chromium: { launch(options: { executablePath: string; args: string[] }): Promise<Browser> };
  };
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
}

/** axe-core as a script for pages. */
export const axeSource = (): string => require.resolve('axe-core/axe.min.js');
