import { describe, expect, it } from 'vitest';
import type { Floor } from '../../../src/freshness/floor.js';
import { ReceivedTokens } from '../../../src/session/received-tokens.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { mergedTokens } from '../../../src/token/merge.js';

describe('the tokens that a session is handed as one text', () => {
  const codecs = { 2: new TokenCodec([], 60_000, 2), 3: new TokenCodec([], 60_000, 3) };
  const clusters = Array.from({ length: 8 }, (_, i) => String(i + 1));
  /** As many as a store may keep: two of each cluster, and the word that is for all. */
  const all = [
    codecs[2].encodePrimaryOnly(1_000),
    ...clusters.map((clusterId) => codecs[3].encodePrimaryOnly(1_000, undefined, clusterId)),
    ...clusters.map((clusterId) => codecs[3].encode({ clusterId, timeline: 1, lsn: 5n }, 1_000)),
  ];

  function observedIn(text: string): string[] {
    const observed: string[] = [];
    const judge = {
      claim: (_floor: unknown, token: unknown) => {
        observed.push(String(token));
        return 'claimed' as const;
      },
    } as unknown as ConstructorParameters<typeof ReceivedTokens>[3];
    new ReceivedTokens({} as Floor, undefined, undefined, judge, undefined).observe(text);
    return observed;
  }

  it('are all looked at, as many as a store may have kept', () => {
    const kept = mergedTokens(all.join('.'), '');
    expect(observedIn(kept).sort()).toEqual([...all].sort());
  });

  it('are looked at up to that number, however many a stranger sends', () => {
    expect(observedIn([...all, ...all, ...all].join('.'))).toHaveLength(all.length);
  });
});
