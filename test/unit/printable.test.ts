import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { discoveryFailed, LadderError, wordFor } from '../../src/errors.js';
import type { WarningEvent } from '../../src/events.js';
import { printable, printableJson, printableLines } from '../../src/printable.js';
import { Publisher } from '../../src/publisher.js';

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** Whatever a hostile server may call itself: much of it from the characters that matter. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\u001b[',
        '31m',
        '\u001b]0;',
        '\u0007',
        '\u009b',
        '\u009d',
        '\u202e',
        '\u2066',
        '\u2028',
        '\r\n',
      ),
      fc.constantFrom('\u001b\\', '\u007f', '\u0085', '\u200b', '\ufeff', '\ud83d', '\ude00', '😀', 'r1', ' '),
      fc.string({ unit: 'binary' }),
    ),
  )
  .map((parts) => parts.join(''));

describe('what others have written', () => {
  it.each([
    ['an ordinary name', 'db-0.eu_west:5432', 'db-0.eu_west:5432'],
    ['a name in another script', 'сервер-地-😀', 'сервер-地-😀'],
    ['colours', '\u001b[31mr1\u001b[0m', 'r1'],
    ['a title for the terminal’s window', '\u001b]0;owned\u0007r1', 'r1'],
    ['a link', '\u001b]8;;https://evil.test\u001b\\r1\u001b]8;;\u001b\\', 'r1'],
    ['the one-byte forms of both', '\u009b31mr1\u009d0;owned\u009c', 'r1'],
    ['half of a sequence', 'r1\u001b[3', 'r1[3'],
    ['a sequence around another', '\u001b\u001b[31m[32mr1', '[32mr1'],
    ['line ends of all kinds', 'r1\r\nERROR\u2028two\u2029three\u0085four\tfive', 'r1 ERROR two three four five'],
    ['characters that turn the text around', 'r1\u202egnp.\u202c\u2066x\u2069', 'r1gnp.x'],
    ['characters of no width', 'r\u200b1\ufeff\u00ad', 'r1'],
    ['backspaces and NUL', 'r1\b\b\0\u007f', 'r1'],
    ['half of a pair', 'r1\ud83d', 'r1'],
  ])('is shown without what a terminal obeys: %s', (_, text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('is cut, and says so, where it is too long, never between the halves of a pair', () => {
    expect(printable('x'.repeat(10), 10)).toBe('x'.repeat(10));
    expect(printable('x'.repeat(11), 10)).toBe(`${'x'.repeat(9)}…`);
    expect(printable('😀'.repeat(11), 10)).toBe(`${'😀'.repeat(4)}…`);
    expect(printable('\u001b'.repeat(100_000), 10)).toBe('…');
  });

  it('is shown on one line and within its bound, whatever it is', () => {
    fc.assert(
      fc.property(hostile, fc.integer({ min: 1, max: 50 }), (text, maxLength) => {
        const shown = printable(text, maxLength);
        expect(shown).not.toMatch(UNSEEN);
        expect(shown.length).toBeLessThanOrEqual(maxLength);
        expect(printable(shown, maxLength)).toBe(shown);
        expect(printableLines(text).replaceAll('\n', '')).not.toMatch(UNSEEN);
      }),
      { numRuns: 2_000 },
    );
  });

  it('costs time by its length, not by the square of it', () => {
    for (const part of ['\u009d', '\u001b]', '\u001b[', '\u009b0', '\u001b[ ']) {
      const startedAt = performance.now();
      printableLines(part.repeat(400_000));
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    }
  });

  it('is the same value as JSON, without what a terminal obeys', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const json = printableJson({ text });
        expect(json.replaceAll('\n', '')).not.toMatch(UNSEEN);
        expect(JSON.parse(json)).toEqual({ text });
      }),
    );
  });

  it('keeps its lines where it has several', () => {
    expect(printableLines('one\u001b[2J\r\ntwo\u202e\n\nthree')).toBe('one\ntwo\n\nthree');
  });

  it('never reaches the message of a warning as it was, whose cause stays what and where it is', () => {
    const publisher = new Publisher('shop');
    const heard: WarningEvent[] = [];
    publisher.emitter.on('warning', (warning) => heard.push(warning));
    const cause = new Error('r1\u001b[2J');
    const warning = { code: 'discovery' as const, message: 'the discovery of \u001b[2Jr1\u202e failed' };
    publisher.publish('warning', Object.defineProperty(warning, 'cause', { value: cause }));
    expect(heard).toEqual([{ code: 'discovery', message: 'the discovery of r1 failed', cluster: 'shop' }]);
    expect(Object.keys(heard[0] as object)).toEqual(['code', 'message', 'cluster']);
    expect(heard[0]?.cause).toBe(cause);
  });

  it('never reaches the message of an error of the library as it was', () => {
    const hostileName = 'r1\u001b[2J\u202e\r\nFATAL';
    expect(discoveryFailed(`two members are named "${hostileName}"`).message).toBe('two members are named "r1 FATAL"');
    const somebodys = Object.assign(new Error(hostileName), { [Symbol.for('pg-ladder.error')]: true });
    expect(somebodys).toBeInstanceOf(LadderError);
    expect(wordFor(somebodys)).toBe('r1 FATAL');
    expect(new LadderError('LADDER_CLOSED', 'x'.repeat(10 ** 6)).message).toHaveLength(4_000);
  });
});
