import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sharingFiles } from '../../../scripts/test-plan.mjs';

/** Which of these files may share a process. */
function sharing(files: Record<string, string>): string[] {
  const root = mkdtempSync(join(tmpdir(), 'pg-ladder-test-plan-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const folder of ['unit/sql', 'house', 'fuzz']) mkdirSync(join(root, 'test', folder), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(root, 'test', file), text);
  return sharingFiles(root);
}

describe('the plan of a test run', () => {
  it('lets tests that start no servers share a process, and nothing else', () => {
    const files = { 'unit/sql/a.test.ts': '', 'house/b.test.ts': '', 'house/tool.ts': '', 'faults.test.ts': '' };
    expect(sharing(files)).toEqual(['test/unit/sql/a.test.ts', 'test/house/b.test.ts']);
  });

  it.each(['mock', 'doMock', 'useFakeTimers', 'stubEnv', 'resetModules'])(
    'gives a file that says vi.%s a process of its own',
    (verb) => {
      expect(sharing({ 'unit/a.test.ts': `vi.${verb}('x')`, 'unit/b.test.ts': 'vi.fn()' })).toEqual([
        'test/unit/b.test.ts',
      ]);
    },
  );
});
