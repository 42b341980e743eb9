/**
 * What caches are told of an answer, by what its sessions have read: for how long it stays within
 * the bounds of its reads, and whether it is for everybody. It sees no request: what stands against
 * sharing there is looked at when the head leaves, see `sharing.ts`.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { performance } from '../clock.js';
import type { Cluster } from '../cluster.js';
import { currentSessions, listOf } from '../clusters.js';
import { invalidOptions } from '../errors.js';
import type { Freshness, NotForAll, ReadNotes } from '../freshness/read-notes.js';
import { check, millis, optionsOf } from '../options/check.js';
import { type CarriedSession, carriedBy } from '../session/carried-session.js';
import type { Session } from '../session/session.js';
import { PRIVATE, warnNotPublic } from './sharing.js';

/** What a response says to caches, beside what its reads say. */
export interface CacheControlOptions {
  /**
   * Whether caches may give the response to everybody. Default `false`: to its receiver alone. Only
   * in a session of `pg-ladder/http`, `/express` or `/fastify`, and only where all its reads are
   * known to be the same for everybody; else the response stays private, and a `not-public` warning
   * says why.
   */
  public?: boolean | undefined;
  /**
   * How old the data of the response may get, in milliseconds, 0 and above. Default: what the
   * bounds of its reads leave (`maxStalenessMillis`, their caches' included). Where neither says
   * it, caches ask each time.
   */
  maxAgeMillis?: number | undefined;
  /**
   * How much longer caches may give the response while they fetch a new one, in milliseconds, 0 and
   * above. Default 0. It comes on top of the bounds.
   */
  staleWhileRevalidateMillis?: number | undefined;
  /**
   * Names by which a CDN can purge the response: `Surrogate-Key` and `Cache-Tag`. Default `true`:
   * the tables that it was made of, where all of it is known, and it is public. A list: these, too.
   */
  surrogateKeys?: boolean | readonly string[] | undefined;
  /**
   * The response's body: then there is a weak `ETag` of it. Default: none. Express makes one by
   * itself.
   */
  body?: string | Uint8Array | undefined;
}

const schema = optionsOf({
  public: z.boolean().optional(),
  maxAgeMillis: millis.optional(),
  staleWhileRevalidateMillis: millis.optional(),
  surrogateKeys: z.union([z.boolean(), z.array(z.string().min(1).max(1_024))]).optional(),
  body: z.custom<string | Uint8Array>((value) => typeof value === 'string' || value instanceof Uint8Array).optional(),
});

/** A client's token may be as old as this less than its lifetime: see `CLOCK_TOLERANCE_MILLIS` of reads. */
const CLOCK_TOLERANCE_MILLIS = 5_000;
const DIGEST_LENGTH = 27;

/**
 * The headers by which caches keep a response for as long as the data in it is fresh enough:
 * `res.set(cacheControl(cluster, { public: true }))`. Call it when everything is read. They are
 * looked at again when the response leaves: one that writes, reads on, sets a cookie or answers a
 * request with `Authorization` is made private then, and `Vary` is set, so that caches let requests
 * with a token pass.
 * @param of the session, or the cluster or clusters whose sessions the calling code is in
 * @throws LadderError `LADDER_INVALID_OPTIONS`, also outside any session, and in one that notes no
 * reads: see its option `freshness`
 */
export function cacheControl(
  of: Session | Cluster | readonly Cluster[],
  options: CacheControlOptions = {},
): Record<string, string> {
  const checked = check(schema, options, 'cacheControl');
  const sessions = 'freshness' in of ? [carriedBy(of)] : currentSessions(listOf(of));
  const [first] = sessions;
  if (first === undefined) throw invalidOptions('cacheControl: expected to be called within a session of the cluster');
  const notes = sessions.map(notesOf);
  const refused = refusalOf(sessions, notes, checked.public === true);
  const isPublic = checked.public === true && refused === undefined;
  for (const each of notes) each.told(isPublic);
  if (refused !== undefined && checked.public === true) {
    // What is not known yet is no mistake.
    if (!refused.mayPass) warnNotPublic(first.carrier, refused.because);
    return { 'Cache-Control': PRIVATE };
  }
  if (sessions.some(({ hasWritten }) => hasWritten)) return { 'Cache-Control': PRIVATE };
  const now = performance.now();
  const known = sessions.map(({ carrier }, index) => ({
    ...(notes[index] as ReadNotes).freshness(now, carrier.subjectOf),
    tokenLifetimeMillis: carrier.tokenLifetimeMillis,
  }));
  return headersOf(known, { ...checked, public: isPublic });
}

/** What was read in a session, and how long the tokens of its clients live. */
export interface KnownFreshness extends Pick<Freshness, 'ageMillis' | 'remainingMillis' | 'tables'> {
  readonly tokenLifetimeMillis: number;
}

/** @param known of each session that the response is made of */
export function headersOf(known: readonly KnownFreshness[], options: CacheControlOptions): Record<string, string> {
  const { public: isPublic = false, staleWhileRevalidateMillis = 0, surrogateKeys = true, body } = options;
  const leftMillis = Math.min(...known.map((one) => leftOf(one, options.maxAgeMillis)));
  // A user whose token has expired is shown what he wrote by then, whatever a cache keeps.
  const lastMillis = Math.min(...known.map(untilTokensExpire));
  const maxAge = seconds(Math.min(leftMillis, lastMillis));
  const whileRevalidating = seconds(Math.min(staleWhileRevalidateMillis, lastMillis - maxAge * 1_000));
  const kept = Number.isFinite(leftMillis)
    ? [`max-age=${maxAge}`, ...(whileRevalidating > 0 ? [`stale-while-revalidate=${whileRevalidating}`] : [])]
    : ['no-cache'];
  const headers: Record<string, string> = { 'Cache-Control': [isPublic ? 'public' : 'private', ...kept].join(', ') };
  if (body !== undefined) headers['ETag'] = etagOf(body);
  const keys = isPublic ? keysOf(known, surrogateKeys) : [];
  if (keys.length > 0) {
    headers['Surrogate-Key'] = keys.join(' ');
    headers['Cache-Tag'] = keys.join(',');
  }
  return headers;
}

function notesOf({ notes }: CarriedSession): ReadNotes {
  if (notes === undefined)
    throw invalidOptions(
      'cacheControl: expected the option freshness of the session, or cache of createCluster, to be set',
    );
  return notes.ofRequest;
}

function refusalOf(
  sessions: readonly CarriedSession[],
  notes: readonly ReadNotes[],
  isAsked: boolean,
): NotForAll | undefined {
  if (!isAsked) return undefined;
  const never = (because: string): NotForAll => ({ because, mayPass: false });
  if (notes.some(({ isOfRequest }) => !isOfRequest))
    return never('its session is none of httpSessions, sessionMiddleware or sessionPlugin with a response');
  if (sessions.some(({ hasWritten }) => hasWritten)) return never('its request wrote, or was told of a write');
  if (notes.every(({ readCount }) => readCount === 0))
    return never('nothing had been read when cacheControl was called');
  const found = notes.flatMap(
    (each, index) => each.obstacle((sessions[index] as CarriedSession).carrier.subjectOf) ?? [],
  );
  return found.find(({ mayPass }) => !mayPass) ?? found[0];
}

/** How long it may still be kept; −∞ where unknown. */
function leftOf({ ageMillis, remainingMillis }: KnownFreshness, maxAgeMillis: number | undefined): number {
  if (ageMillis === undefined || (remainingMillis === undefined && maxAgeMillis === undefined))
    return Number.NEGATIVE_INFINITY;
  const ofPage = maxAgeMillis === undefined ? Number.POSITIVE_INFINITY : maxAgeMillis - ageMillis;
  return Math.max(0, Math.min(remainingMillis ?? Number.POSITIVE_INFINITY, ofPage));
}

function untilTokensExpire({ ageMillis = 0, tokenLifetimeMillis }: KnownFreshness): number {
  return tokenLifetimeMillis - CLOCK_TOLERANCE_MILLIS - ageMillis;
}

function seconds(milliseconds: number): number {
  return Math.max(0, Math.floor(milliseconds / 1_000));
}

function keysOf(known: readonly KnownFreshness[], asked: boolean | readonly string[]): readonly string[] {
  if (asked === false) return [];
  const own = asked === true ? [] : asked;
  // A key that stands for a part only would leave the rest when it is purged; none leaves all.
  const tables = known.some((one) => one.tables === undefined) ? [] : known.flatMap((one) => one.tables ?? []);
  return [...new Set([...tables, ...own].map(asKey))];
}

/** Keys are separated by spaces, tags by commas. */
function asKey(name: string): string {
  return encodeURIComponent(name);
}

/**
 * Of the body, since a position says too little and too much: the same content has another one in
 * each process and after each write of anybody, and the body is made by code that may change, too.
 * Weak: others may compress the body on its way.
 */
function etagOf(body: string | Uint8Array): string {
  return `W/"${createHash('sha256').update(body).digest('base64url').slice(0, DIGEST_LENGTH)}"`;
}
