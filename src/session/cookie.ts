/** The cookie that carries a token: how it is called, what it says, and how it is found among others. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type CookieOptions, of } from './http-options.js';
import { SEPARATOR } from './token-store.js';

/** However many cookies of that name a client sends, and tokens in each. */
export const MAX_TOKENS = 8;
const SPACE = 32;
const SEMICOLON = 59;

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

/** The names under which it may come; with `secure` the one under which it goes. The prefix makes browsers refuse it from anybody but the host itself. */
export function cookieNames({ name, domain, path }: Omit<CookieOptions, 'secure'>, secure?: boolean): string[] {
  if (name !== undefined) return [name];
  const mayBePrefixed = domain === undefined && (path === undefined || path === '/');
  if (secure === undefined) return mayBePrefixed ? ['__Host-pg-ladder', 'pg-ladder'] : ['pg-ladder'];
  return [secure && mayBePrefixed ? '__Host-pg-ladder' : 'pg-ladder'];
}

/** Adds every value of that name: a browser sends several when they were set for different paths. */
export function addCookies(tokens: string[], header: string, name: string): void {
  const start = `${name}=`;
  let at = header.indexOf(start);
  while (at !== -1 && tokens.length < MAX_TOKENS) {
    const end = header.indexOf(';', at);
    const before = header.charCodeAt(at - 1);
    // The end of a longer name is none of ours.
    if (at === 0 || before === SPACE || before === SEMICOLON) {
      const value = header.slice(at + start.length, end === -1 ? undefined : end).trim();
      if (value.includes(SEPARATOR)) tokens.push(...value.split(SEPARATOR, MAX_TOKENS));
      else tokens.push(value);
    }
    at = header.indexOf(start, at + start.length);
  }
}

function isSecure(request: IncomingMessage): boolean {
  const { secure } = request as { secure?: unknown };
  return secure === true || (request.socket as Partial<TLSSocket>).encrypted === true;
}
