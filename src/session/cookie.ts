/** The cookie that carries a token: how it is called, what it says, and how it is found among others. */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type CookieOptions, of } from './http-options.js';
import { SEPARATOR } from './token-store.js';

/** However many cookies of that name a client sends, and tokens in each. */
export const MAX_TOKENS = 8;

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

/** Every value of that name: a browser sends several when they were set for different paths. */
export function cookiesOf(header: string, name: string): string[] {
  return header
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .slice(0, MAX_TOKENS)
    .flatMap((pair) => pair.slice(name.length + 1).split(SEPARATOR, MAX_TOKENS));
}

function isSecure(request: IncomingMessage): boolean {
  const { secure } = request as { secure?: unknown };
  return secure === true || (request.socket as Partial<TLSSocket>).encrypted === true;
}
