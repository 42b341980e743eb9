/**
 * JSON by HTTP from somebody who is not trusted: no more of an answer is read than asked for, whatever its
 * head says, and no redirect is followed, which would carry headers, a login among them, to somebody else.
 */
import { discoveryFailed } from '../errors.js';

/** What `fetch` must take and give, as far as it matters here: the global one, undici's or node-fetch's. */
export type FetchLike = (
  url: string,
  init: { headers: Record<string, string>; signal: AbortSignal; redirect: 'error' },
) => Promise<FetchLikeResponse>;

export interface FetchLikeResponse {
  readonly status: number;
  /** Whether the answer came from elsewhere, after a redirect. */
  readonly redirected?: boolean;
  readonly body: AsyncIterable<Uint8Array | string> | null;
}

const REDIRECTED = 'answered with a redirect, which is not followed: name the place that it leads to';

/** @throws a LadderError whose message ends a sentence, or what `fetch` does */
export async function jsonOf(
  fetch: FetchLike,
  url: string,
  init: Omit<Parameters<FetchLike>[1], 'redirect'>,
  maxBytes: number,
): Promise<unknown> {
  const { status, redirected, body } = await fetch(url, { ...init, redirect: 'error' }).catch((error: unknown) => {
    throw isRedirect(error) ? discoveryFailed(REDIRECTED, error) : error;
  });
  // One that was handed in may have gone on all the same.
  if (redirected === true || (status >= 300 && status < 400)) throw discoveryFailed(REDIRECTED);
  // What is not read of a body ends when `init.signal` aborts.
  if (status !== 200) throw discoveryFailed(`answered with the status ${status}`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw discoveryFailed(`expected at most ${maxBytes} bytes, got more`);
    chunks.push(Buffer.from(chunk as Uint8Array));
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw discoveryFailed('answered with something that is no JSON');
  }
}

/** Undici and the global `fetch` say so in the cause, node-fetch in a code of its own. */
function isRedirect(error: unknown): boolean {
  const { cause, type } = Object(error) as { cause?: unknown; type?: unknown };
  return type === 'no-redirect' || (Object(cause) as { message?: unknown }).message === 'unexpected redirect';
}
