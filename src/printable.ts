/**
 * What others have written, such as the name of a server or its error, as it may be shown: on one
 * line, without anything that a terminal obeys, and bounded in length. It never judges what is said.
 */

/** A name longer than this says nothing more. */
export const MAX_NAME_LENGTH = 255;
/** Of an error or a warning: some name many servers. */
export const MAX_MESSAGE_LENGTH = 4_000;
const MAX_LENGTH = 1_000;
/** How much of a long text is looked at: removing characters makes room for those behind them. */
const READ_AHEAD = 4;

const [ESC, BEL, ST] = ['\\u001b', '\\u0007', '\\u009c'];
/** Colours and cursor moves. */
const CSI = `(?:${ESC}\\[|\\u009b)[0-?]{0,64}[ -/]{0,64}[@-~]`;
/** What begins a title, a link and the like (OSC, DCS, SOS, PM, APC). */
const STRING_BEGIN = `(?:${ESC}[\\]PX^_]|[\\u009d\\u0090\\u0098\\u009e\\u009f])`;
const STRING_END = `(?:${BEL}|${ESC}\\\\|${ST})`;
/** A whole ANSI sequence. */
const SEQUENCE = new RegExp(`${CSI}|${STRING_BEGIN}[^${BEL}${ESC}\\u0090\\u0098${ST}-\\u009f]*${STRING_END}`, 'gu');
/** Tab, line feed and the other ends of a line. */
const SPACING = /[\t\n\v\f\r\u0085\p{Zl}\p{Zp}]+/gu;
/** Control characters (C0, DEL, C1), invisible ones (bidi overrides, zero widths, tags), halves of a pair. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}]/gu;
const ANY = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
/** Also where a text must be taken whole or not at all, such as a host. */
export const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u;

/**
 * @param maxLength in UTF-16 code units, at least 1; what is cut off is marked by an ellipsis
 * @returns the text itself where nothing has to be changed; applying it again changes nothing
 */
export function printable(text: string, maxLength = MAX_LENGTH): string {
  if (text.length <= maxLength && !ANY.test(text)) return text;
  const read = text.slice(0, maxLength * READ_AHEAD);
  const shown = read.replace(SEQUENCE, '').replace(SPACING, ' ').replace(UNSEEN, '');
  if (read.length === text.length && shown.length <= maxLength) return shown;
  // Half of a pair may stand at the cut.
  return `${shown.slice(0, maxLength - 1).replace(UNSEEN, '')}…`;
}

/** The same for text that may have several lines. */
export function printableLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => printable(line, 100_000))
    .join('\n');
}

/** The value as JSON that a terminal may be shown: what JSON leaves as it is stands there as `\uXXXX`. */
export function printableJson(value: unknown): string {
  const escaped = (found: string): string =>
    Array.from({ length: found.length }, (_, i) => `\\u${found.charCodeAt(i).toString(16).padStart(4, '0')}`).join('');
  return JSON.stringify(value, undefined, 2).replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
}
