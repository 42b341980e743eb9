/**
 * The cookie that carries a token: how it is called, what it says, and how it is found among
 * others. Nothing in another cookie's name or value is taken for it.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type CookieOptions, of } from './options.js';

const TAB = 9;
const SPACE = 32;
const QUOTE = 34;
const EQUALS = 61;

/** @param lifetimeMillis of the token */
export function cookieText<Request extends IncomingMessage>(
  value: string,
  request: Request,
  cookie: CookieOptions<Request>,
  lifetimeMillis: number,
): string {
  const { path = '/', domain, sameSite = 'lax' } = cookie;
  const secure = of(cookie.secure, request) ?? isSecure(request);
  const lifetimeSeconds = Math.ceil(lifetimeMillis / 1_000);
  const [name] = cookieNames(cookie, secure);
  return [
    `${name}=${value}`,
    `Path=${path}`,
    ...(domain === undefined ? [] : [`Domain=${domain}`]),
    `Max-Age=${lifetimeSeconds}`,
    'HttpOnly',
    ...(secure ? ['Secure'] : []),
    `SameSite=${sameSite[0]?.toUpperCase()}${sameSite.slice(1)}`,
  ].join('; ');
}

/**
 * The names that a request may have it under; with `secure`, the name that a response sets.
 * Browsers accept the prefix from the host itself only.
 */
export function cookieNames({ name, domain, path }: Omit<CookieOptions, 'secure'>, secure?: boolean): string[] {
  if (name !== undefined) return [name];
  const mayBePrefixed = domain === undefined && (path === undefined || path === '/');
  if (secure === undefined) return mayBePrefixed ? ['__Host-pg-ladder', 'pg-ladder'] : ['pg-ladder'];
  return [secure && mayBePrefixed ? '__Host-pg-ladder' : 'pg-ladder'];
}

/**
 * Every value of that name: a browser sends several when they were set for different paths. As
 * browsers do, it splits at semicolons whatever is quoted, and takes only blanks and tabs for
 * blank: with other white space before it, a name that a prefix protects would be another one to
 * the browser.
 */
export function cookieValues(header: string, name: string): string[] {
  const values: string[] = [];
  if (!header.includes(name)) return values;
  let end = -1;
  for (let at = 0; at < header.length; at = end + 1) {
    end = header.indexOf(';', at);
    if (end === -1) end = header.length;
    const start = afterBlanks(header, at, end);
    if (!header.startsWith(name, start)) continue;
    const equals = afterBlanks(header, start + name.length, end);
    if (equals < end && header.charCodeAt(equals) === EQUALS) values.push(valueBetween(header, equals + 1, end));
  }
  return values;
}

function afterBlanks(text: string, start: number, end: number): number {
  let at = start;
  while (at < end && isBlank(text.charCodeAt(at))) at++;
  return at;
}

function valueBetween(text: string, start: number, end: number): string {
  let first = afterBlanks(text, start, end);
  let last = end;
  while (last > first && isBlank(text.charCodeAt(last - 1))) last--;
  const isQuoted = last - first > 1 && text.charCodeAt(first) === QUOTE && text.charCodeAt(last - 1) === QUOTE;
  if (isQuoted) {
    first++;
    last--;
  }
  return text.slice(first, last);
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function isSecure(request: IncomingMessage): boolean {
  const { secure } = request as { secure?: unknown };
  return secure === true || (request.socket as Partial<TLSSocket>).encrypted === true;
}
