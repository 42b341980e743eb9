// Which transactions an answer of the catalogue shows, by the lower half of their numbers, which is all that the log tells.
import { describe, expect, it } from 'vitest';
import { Publication } from '../../../src/changes/publication.js';

const rowWith = (snapshot: string, in_recovery = false) => ({
  snapshot,
  in_recovery,
  lsn: '0/1000018',
  block_bytes: '8192',
  segment_bytes: '16777216',
  trigger_count: '2',
  publication: '{"isWhole":true,"isByRoot":false}',
  relations: '[]',
  edges: '[]',
});
const shows = (snapshot: string, xid: number) => new Publication(rowWith(snapshot)).shows(xid);

describe('what is read of a publication', () => {
  it('shows transactions that have ended', () => {
    expect(shows('700:710:700,705', 699)).toBe(true);
    expect(shows('700:710:700,705', 700)).toBe(false);
    expect(shows('700:710:700,705', 701)).toBe(true);
    expect(shows('700:710:700,705', 710)).toBe(false);
    expect(shows('700:710:700,705', 711)).toBe(false);
  });

  it('shows those that ended before the numbers began anew', () => {
    expect(shows('4294967290:4294967300:4294967291', 0xffff_fffa)).toBe(true);
    expect(shows('4294967290:4294967300:4294967291', 0xffff_fffb)).toBe(false);
    expect(shows('4294967290:4294967300:', 3)).toBe(true);
    expect(shows('4294967290:4294967300:', 4)).toBe(false);
    expect(shows('4294967280:4294967290:', 4)).toBe(false);
  });

  it('shows on a replica whatever its log tells', () => {
    expect(new Publication(rowWith('700:700:', true)).shows(900)).toBe(true);
  });

  it('lies no further than the log can have been told', () => {
    // Behind the header of a page that no record has followed.
    expect(new Publication({ ...rowWith('1:1:'), lsn: '0/1000028' }).lsn).toBe(0x1000000n);
  });

  it('is refused where it makes no sense', () => {
    expect(() => new Publication(undefined)).toThrow();
    expect(() => new Publication({ ...rowWith('1:1:'), lsn: 'x' })).toThrow();
    expect(() => new Publication({ ...rowWith('1:1:'), block_bytes: '0' })).toThrow();
    expect(new Publication({ ...rowWith('1:1:'), publication: null }).problem).toContain('does not exist');
  });
});
