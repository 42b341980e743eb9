import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** What each example must print; one that is missing here fails. */
const shown: Record<string, RegExp> = {
  'any-sql.ts':
    /read, since nothing in it writes\n {2}→ r1 [\s\S]*a row lock\n {2}→ primary \(write\)[\s\S]*DeleteStmt\n {2}→ primary[\s\S]*view public\.audited: nextval\(\) needs the primary\n {2}→ primary/,
  'cache.ts':
    /a visitor sees nobody, from memory\nAda sees Ada, from replica\nAda again sees Ada, from memory\nanother visitor sees Ada, from memory\nnot kept: now\(\) depends on the time; name its scope\na lamp, by a rule, from memory\nhits: true; passed by since they did not show a write: true\n2 answers are held\n$/,
  'changes.ts':
    /^changes are heard of public\.profiles\n[\s\S]*profile 1: Ada, from memory\nprofile 2: Grace, from replica\nits table was written, its row was not:\nprofile 1: Ada, from memory\nprofile 1: Ada Lovelace, from replica\nheard: public\.profiles\n$/,
  'express.ts':
    /→ r[12] .*\nAda opens the page: nobody\n {2}→ primary \(write\)\n {2}→ primary \(behind-floor\)\nAda has saved.*: Ada\n {2}→ r[12] .*\na stranger.*: nobody\n {2}→ r2 .*\nAda reloads.*: Ada\n$/,
  'failover.ts': /promotion, primary r1, timeline 2[\s\S]*the session sees: 1, 2/,
  'fastify.ts':
    /→ r[12] .*\nAda opens the page: nobody\n {2}→ primary \(write\)\n {2}→ primary \(behind-floor\)\nAda has saved.*: Ada\n {2}→ r[12] .*\na stranger.*: nobody\n {2}→ primary .*\na stranger who insists: Ada\n {2}→ r2 .*\nAda reloads.*: Ada\n$/,
  'jobs.ts':
    /→ r[12] .*\nwithout the token: nobody\n {2}→ primary \(behind-floor\)\n {2}failed: no mail server to greet Ada\n {2}→ r[12] .*\ngreeted Ada\n$/,
  'live.ts':
    /^the page shows lamp 40, chair 40\n.*it shows lamp 38, chair 40\n.*shows lamp 28, chair 40; missed: true\n.*shows lamp 28, chair 40; missed: false\n$/,
  'many-replicas.ts':
    /^ {2}r1 has joined[\s\S]*\nada → .*r3.*\n {2}r3 has left\nada → (?!.*r3).*\nhot: 1 key; reads spread: true\ntrue\n$/,
  'own-discovery.ts': /^Aurora: a replica answers: true\nConsul: a replica answers: true\n$/,
  'quickstart.ts': /→ primary \(write\)[\s\S]*→ r1 [\s\S]*read back: Ada[\s\S]*next request: Ada/,
};

/** They need the tool that they show: `npm run test:compat` installs it, and runs them. */
const ofTools = ['drizzle.ts', 'kysely.ts', 'prisma.ts'];
const names = readdirSync(new URL('../../examples', import.meta.url)).filter(
  (name) => name.endsWith('.ts') && !ofTools.includes(name),
);

describe('the examples', () => {
  it.each(names)('%s runs and shows what it says', async (name) => {
    const { stdout } = await run(process.execPath, ['--import', 'tsx', `examples/${name}`], {
      cwd: root,
      timeout: 25_000,
    });
    expect(stdout).toMatch(shown[name] as RegExp);
  });
});
