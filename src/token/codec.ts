/**
 * The string that carries a position between requests, processes and services. It is read as a
 * stranger's: fixed length first, then fixed alphabet, then the signature; what does not fit is
 * refused with a word, never with an error. Two versions are read, so that processes of two
 * releases understand each other; which one is written is an option.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Position } from '../freshness/position.js';
import { clusterInToken } from './order.js';

/** The versions that are read; see `tokenVersion`. */
export type TokenVersion = 2 | 3;

const PAYLOAD = /^([23])([0-9a-f]{16})([0-9a-f]{8})([0-9a-f]{16})([0-9a-f]{11})$/;
const PAYLOAD_LENGTH = 52;
/** HMAC-SHA-256 in base64url. */
const SIGNATURE_LENGTH = 43;

/** Signatures that need not be checked again. A subject has at most 1,024 characters. */
const MAX_VERIFIED = 2_000;

/**
 * A token without a position: its client reads from the primary until it expires. Timeline 0 exists
 * in no log, so no position can be taken for it.
 */
const NOWHERE = { timeline: 0, lsn: 0xffff_ffff_ffff_ffffn } as const;
/** No system identifier: the primary-only token is for all clusters. */
const ANY_CLUSTER = '0';

/** The clusters on whose primaries its client's reads belong. */
export interface PrimaryOnly {
  /** The system identifier; `undefined`: all of them. */
  readonly onPrimaryOf: string | undefined;
}

/**
 * Why a token was refused: not one of ours, not signed with a key of the ring for that subject, or
 * too old.
 */
export type TokenFault = 'malformed' | 'forged' | 'expired';

export class TokenCodec {
  readonly #secrets: readonly string[];
  readonly #lifetimeMillis: number;
  readonly #version: TokenVersion;
  /**
   * What was found to be signed: a client brings its token with each request, and a signature costs
   * as much as a statement.
   */
  readonly #verified = new Set<string>();

  /**
   * @param secrets the key ring: the first signs, all are accepted; empty for tokens without a
   * signature
   * @param lifetimeMillis counted by the clocks of the processes that issue and read it
   * @param version the one that is written
   */
  constructor(secrets: readonly string[], lifetimeMillis: number, version: TokenVersion) {
    this.#secrets = secrets;
    this.#lifetimeMillis = lifetimeMillis;
    this.#version = version;
  }

  /** Characters in a token, all of them safe in headers, cookies and URLs. */
  get length(): number {
    return PAYLOAD_LENGTH + (this.#secrets.length > 0 ? SIGNATURE_LENGTH : 0);
  }

  /** @param now epoch milliseconds @param subject whom the token is for */
  encode({ clusterId, timeline, lsn }: Position, now: number, subject?: string): string {
    const payload =
      this.#version +
      clusterInToken(clusterId) +
      timeline.toString(16).padStart(8, '0') +
      lsn.toString(16).padStart(16, '0') +
      Math.trunc(now).toString(16).padStart(11, '0');
    const [secret] = this.#secrets;
    return secret === undefined ? payload : payload + signature(secret, payload, subject).toString('base64url');
  }

  /**
   * A token for writes whose position could not be had in time.
   * @param clusterId where they are; `undefined` while it is not known. Version 2 cannot tell it
   */
  encodePrimaryOnly(now: number, subject?: string, clusterId?: string): string {
    const told = this.#version === 2 ? undefined : clusterId;
    return this.encode({ ...NOWHERE, clusterId: told ?? ANY_CLUSTER }, now, subject);
  }

  /** Whether it has a token's form: who made it, and when, is not looked at. */
  isToken(text: unknown): text is string {
    return typeof text === 'string' && text.length === this.length && PAYLOAD.test(text.slice(0, PAYLOAD_LENGTH));
  }

  /** The position in a token, or why it is refused. */
  decode(token: unknown, now: number, subject?: string): Position | PrimaryOnly | TokenFault {
    if (typeof token !== 'string' || token.length !== this.length) return 'malformed';
    const payload = token.slice(0, PAYLOAD_LENGTH);
    const [, , cluster, timeline, lsn, issuedAt] = PAYLOAD.exec(payload) ?? [];
    if (cluster === undefined || timeline === undefined || lsn === undefined || issuedAt === undefined)
      return 'malformed';
    if (!this.#isSigned(payload, token.slice(PAYLOAD_LENGTH), subject)) return 'forged';
    // One from further ahead than that comes from no clock of ours, and would live for as long as
    // its maker likes.
    if (Math.abs(now - Number.parseInt(issuedAt, 16)) > this.#lifetimeMillis) return 'expired';
    const clusterId = BigInt(`0x${cluster}`).toString();
    if (timeline === '00000000') return { onPrimaryOf: clusterId === ANY_CLUSTER ? undefined : clusterId };
    return {
      clusterId,
      timeline: Number.parseInt(timeline, 16),
      lsn: BigInt(`0x${lsn}`),
    };
  }

  #isSigned(payload: string, claimed: string, subject: string | undefined): boolean {
    if (this.#secrets.length === 0) return true;
    const whole = `${payload}${claimed}${subject === undefined ? '' : `:${subject}`}`;
    if (this.#verified.has(whole)) return true;
    const bytes = Buffer.from(claimed, 'base64url');
    const isSigned = this.#secrets.some((secret) => {
      const expected = signature(secret, payload, subject);
      return bytes.length === expected.length && timingSafeEqual(bytes, expected);
    });
    if (!isSigned) return false;
    if (this.#verified.size >= MAX_VERIFIED) this.#verified.clear();
    this.#verified.add(whole);
    return true;
  }
}

function signature(secret: string, payload: string, subject: string | undefined): Buffer {
  // The payload's length is fixed, so that no subject can be taken for a part of it; none at all
  // differs from an empty one.
  return createHmac('sha256', secret)
    .update(payload)
    .update(subject === undefined ? '' : `:${subject}`)
    .digest();
}
