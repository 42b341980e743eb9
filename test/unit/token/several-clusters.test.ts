import { describe, expect, it } from 'vitest';
import { tokensFor } from '../../../src/clusters.js';
import type { CarrierTools } from '../../../src/session/runner.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { mergedTokens } from '../../../src/token/merge.js';
import { clusterInToken } from '../../../src/token/order.js';

const second = new TokenCodec([], 60_000, 2);
const third = new TokenCodec([], 60_000, 3);
const at = (clusterId: string, lsn: bigint, now = 1_000): string => third.encode({ clusterId, timeline: 1, lsn }, now);
const tools = (clusterId: string | undefined): CarrierTools =>
  ({ clusterId: () => (clusterId === undefined ? undefined : clusterInToken(clusterId)) }) as CarrierTools;

describe('tokens of several clusters', () => {
  it('stand side by side, each the highest of its cluster', () => {
    const kept = mergedTokens(`${at('7', 5n)}.${at('8', 9n)}`, `${at('8', 4n)}.${at('7', 6n)}`);
    expect(kept.split('.').sort()).toEqual([at('7', 6n), at('8', 9n)]);
  });

  it('are of eight clusters at most: those whose newest token is the oldest go', () => {
    const nine = Array.from({ length: 9 }, (_, i) => at(String(i + 1), 5n, 1_000 + i));
    const kept = mergedTokens(nine.join('.'), '').split('.');
    expect(kept.sort()).toEqual(nine.slice(1).sort());
    expect(
      mergedTokens([...nine].reverse().join('.'), '')
        .split('.')
        .sort(),
    ).toEqual(kept.sort());
  });

  it('tell in version 3 which primary a client shall read from, and in version 2 all of them', () => {
    const mark = (codec: TokenCodec) => codec.decode(codec.encodePrimaryOnly(0, undefined, '7'), 0);
    expect([mark(second), mark(third)]).toEqual([{ onPrimaryOf: undefined }, { onPrimaryOf: '7' }]);
    expect(third.decode(third.encodePrimaryOnly(0), 0)).toEqual({ onPrimaryOf: undefined });
  });

  it('are read in both versions, whichever is written', () => {
    const position = { clusterId: '7', timeline: 1, lsn: 5n };
    for (const writes of [second, third]) {
      for (const reads of [second, third]) expect(reads.decode(writes.encode(position, 0), 0)).toEqual(position);
    }
  });

  it('go to their cluster, and to those of which it is not known yet', () => {
    const tokens = [at('7', 1n), at('8', 1n), at('9', 1n), second.encodePrimaryOnly(0)];
    const [seven, eight, unknown] = [tools('7'), tools('8'), tools(undefined)];
    const [ofSeven, ofEight, ofNine, ofAll] = tokens;
    expect(tokensFor(seven, [seven, eight], tokens)).toEqual([ofSeven, ofNine, ofAll]);
    expect(tokensFor(unknown, [unknown, eight], tokens)).toEqual([ofSeven, ofNine, ofAll]);
    expect(tokensFor(eight, [unknown, eight], tokens)).toEqual([ofSeven, ofEight, ofNine, ofAll]);
    expect(tokensFor(seven, [seven], tokens)).toEqual(tokens);
  });
});
