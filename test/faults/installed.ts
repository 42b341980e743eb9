/** Programs that tests of poolers need, and can be skipped without. */
import { findBinary } from '../../bench/binaries.js';
import type { Kind } from '../../bench/proxies/proxy.js';
import { report } from '../behaviour/fixture.js';

/** The program of that kind; `undefined` is why its tests are skipped, which is told. */
export function installed({ binary, debianPackage }: Kind): string | undefined {
  const found = findBinary(binary);
  if (found === undefined)
    report(binary, { skipped: `it is not installed (Debian: apt-get install ${debianPackage})` });
  return found;
}
