/**
 * Whether caches that others share may keep an answer, by what its head tells them (RFC 9111, RFC
 * 9213, and what CDNs have beside those), and how to forbid it them. What it does not understand
 * counts as leave to keep: a token must not reach another user.
 */
import type { ResponseHead } from './response-head.js';

/** Answers that may be kept without being told so. */
const READABLE = new Set(['GET', 'HEAD', 'QUERY']);
/**
 * Fields for caches of one kind, which these obey before Cache-Control, beside all whose names end
 * as CDN-Cache-Control does.
 */
const TARGETED = new Set(['surrogate-control', 'edge-control', 'x-accel-expires']);
/** Of them the one that has no directives, but a number of seconds. */
const SECONDS = 'x-accel-expires';
const TARGETED_SUFFIX = '-cache-control';
/** What gives an answer to a method such as POST a lifetime. */
const GIVES_LEAVE = new Set(['public', 'max-age', 's-maxage', 'must-understand']);
/**
 * What has no place beside `private`; `private` and `no-store` with names of fields let the rest be
 * kept.
 */
const DROPPED = new Set(['private', 'public', 's-maxage', 'proxy-revalidate', 'must-understand']);

/** @param method of the request */
export function mayBeShared(head: ResponseHead, method: string | undefined): boolean {
  if (openIn(head).length > 0) return true;
  const cacheControl = head.get('cache-control');
  if (cacheControl !== undefined && isClosed(cacheControl)) return false;
  if (method === undefined || READABLE.has(method)) return true;
  if (cacheControl === undefined) return head.get('expires') !== undefined;
  const { directives, isWhole } = directivesIn(cacheControl);
  return !isWhole || head.get('expires') !== undefined || directives.some((one) => GIVES_LEAVE.has(nameOf(one)));
}

/** Leaves the answer to its receiver alone. */
export function forbidSharing(head: ResponseHead): void {
  const cacheControl = head.get('cache-control') ?? '';
  if (!isClosed(cacheControl)) {
    const kept = directivesIn(cacheControl).directives.filter((one) => !DROPPED.has(nameOf(one)));
    head.set('cache-control', ['private', ...kept].join(', '));
  }
  for (const name of openIn(head)) {
    const never = name === SECONDS ? '0' : ['no-store', ...contentIn(head.get(name) ?? '')].join(', ');
    head.set(name, never);
  }
}

/** Its targeted fields that give leave. */
function openIn(head: ResponseHead): string[] {
  const targeted = head.names.filter((name) => TARGETED.has(name) || name.endsWith(TARGETED_SUFFIX));
  return targeted.filter((name) => {
    const value = head.get(name) ?? '';
    return name === SECONDS ? value.trim() !== '0' : !isClosed(value);
  });
}

/** Whether no shared cache keeps it, whichever way that reads quotes. */
function isClosed(value: string): boolean {
  const { directives, isWhole } = directivesIn(value);
  if (!isWhole) return false;
  const bare = new Set(directives.map((one) => one.toLowerCase()));
  // A cache that understands the status takes must-understand as leave to overlook no-store.
  return bare.has('private') || (bare.has('no-store') && !bare.has('must-understand'));
}

/** What a surrogate does with the content, and not whether it keeps it. */
function contentIn(value: string): string[] {
  return directivesIn(value).directives.filter((one) => nameOf(one) === 'content');
}

interface Directives {
  readonly directives: readonly string[];
  /** Whether every quote is closed; if not, `directives` ends before the open one. */
  readonly isWhole: boolean;
}

/** Split at commas, those in quotes apart. */
function directivesIn(value: string): Directives {
  const directives: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let at = 0; at <= value.length; at++) {
    const character = value[at];
    if (character === '"') isQuoted = !isQuoted;
    else if (isQuoted && character === '\\') at++;
    else if (character === undefined ? !isQuoted : character === ',' && !isQuoted) {
      const directive = value.slice(start, at).trim();
      if (directive !== '') directives.push(directive);
      start = at + 1;
    }
  }
  return { directives, isWhole: !isQuoted };
}

function nameOf(directive: string): string {
  const [name = ''] = directive.split(/[=;\s]/, 1);
  return name.toLowerCase();
}
