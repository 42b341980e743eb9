/** JSON by HTTP from somebody who is not trusted: no more of an answer is read than asked for, whatever its head says. */
import { discoveryFailed } from '../errors.js';

/** What `fetch` must take and give, as far as it matters here: the global one, undici's or node-fetch's. */
export type FetchLike = (
  url: string,
  init: { headers: Record<string, string>; signal: AbortSignal },
) => Promise<FetchLikeResponse>;

export interface FetchLikeResponse {
  readonly status: number;
  readonly body: AsyncIterable<Uint8Array | string> | null;
}

/** @throws a LadderError whose message ends a sentence, or what `fetch` does */
export async function jsonOf(
  fetch: FetchLike,
  url: string,
  init: Parameters<FetchLike>[1],
  maxBytes: number,
): Promise<unknown> {
  const { status, body } = await fetch(url, init);
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
