/**
 * The cookie that carries a token: how it is called, what it says, and how it is found among
 * others. Nothing in another cookie's name or value is taken for it.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type CookieOptions, of } from './options.js';

const PREFIX = '__Host-';
const TAB = 9;
const SPACE = 32;
const QUOTE = 34;
const EQUALS = 61;

/** @param lifetimeMillis of the token */
export function cookieText<Request extends IncomingMessage>(
  name: string,
  value: string,
  request: Request,
  cookie: CookieOptions<Request>,
  lifetimeMillis: number,
): string {
  const { path = '/', domain, sameSite = 'lax' } = cookie;
  const secure = isToBeSecure(request, cookie);
  const lifetimeSeconds = Math.ceil(lifetimeMillis / 1_000);
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
 * The name that a response sets: the usual one, or the one with the cluster's name where another
 * cluster's cookie has that.
 */
export function cookieNameFor<Request extends IncomingMessage>(
  request: Request,
  cookie: CookieOptions<Request>,
  taken: ReadonlySet<string>,
  cluster: string,
): string {
  const { name = 'pg-ladder' } = cookie;
  const isPrefixed = mayBePrefixed(cookie) && isToBeSecure(request, cookie);
  const usual = isPrefixed ? `${PREFIX}${name}` : name;
  return taken.has(usual) ? `${usual}-${cluster}` : usual;
}

/** The names that a request may have a cluster's cookie under: those that browsers protect first. */
export function cookieNames(cookie: Omit<CookieOptions, 'secure'>, cluster: string): string[] {
  const { name = 'pg-ladder' } = cookie;
  const names = [name, `${name}-${cluster}`];
  return mayBePrefixed(cookie) ? [...names.map((each) => `${PREFIX}${each}`), ...names] : names;
}

/** Browsers accept the prefix from the host itself only. */
function mayBePrefixed({ name, domain, path }: Omit<CookieOptions, 'secure'>): boolean {
  return name === undefined && domain === undefined && (path === undefined || path === '/');
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

function isToBeSecure<Request extends IncomingMessage>(request: Request, cookie: CookieOptions<Request>): boolean {
  return of(cookie.secure, request) ?? isSecure(request);
}

function isSecure(request: IncomingMessage): boolean {
  const { secure } = request as { secure?: unknown };
  return secure === true || (request.socket as Partial<TLSSocket>).encrypted === true;
}
