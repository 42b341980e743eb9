/** Users of the app: each saves names and reloads, over whatever stands at an origin, with a browser's cookies. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CookieJar } from 'tough-cookie';
import { request } from 'undici';

/** What carries a user's token from one request to the next. */
export type Way = 'cookies' | 'store' | 'both';

const THINK_MILLIS = 20;
/** One site for a browser, whichever process answers: a cookie's port does not matter. */
const SITE = 'http://127.0.0.1/';

export interface Answer {
  readonly text: string;
  /** The name of the process. */
  readonly by: string;
}

export class User {
  readonly way: Way;
  /** The row that only this user writes. */
  readonly id: number;
  readonly #jar = new CookieJar();
  #saved = 'new here';
  #count = 0;

  constructor(way: Way, id: number) {
    this.way = way;
    this.id = id;
  }

  /** @returns the process that saved it */
  async save(origin: string): Promise<string> {
    const name = `${this.way} ${this.id} ${++this.#count}`;
    const { by } = await this.#ask(origin, 'POST', `&name=${encodeURIComponent(name)}`);
    this.#saved = name;
    return by;
  }

  /** @returns whether the name is an older one than what this user saved last, and by which process */
  async reload(origin: string): Promise<{ isStale: boolean; by: string }> {
    const { text, by } = await this.#ask(origin, 'GET');
    return { isStale: text !== this.#saved, by };
  }

  async cookies(): Promise<string[]> {
    return (await this.#jar.getCookies(SITE)).map(({ key }) => key);
  }

  async #ask(origin: string, method: 'GET' | 'POST', more = ''): Promise<Answer> {
    const cookie = await this.#jar.getCookieString(SITE);
    const path = `/${this.way}?id=${this.id}${more}`;
    const { statusCode, headers, body } = await request(`${origin}${path}`, {
      method,
      headers: cookie === '' ? {} : { cookie },
    });
    for (const line of [headers['set-cookie'] ?? []].flat()) await this.#jar.setCookie(line, SITE);
    const text = await body.text();
    if (statusCode !== 200) throw new Error(`${method} ${path}: ${statusCode} ${text}`);
    return { text, by: String(headers['answered-by']) };
  }
}

export interface Seen {
  stale: number;
  /** How many pairs were saved by one process and reloaded from another: `old → new`. */
  readonly across: Map<string, number>;
}

/** All users side by side, each with time to think in between. */
export async function saveAndReload(origin: string, users: readonly User[], pairs: number): Promise<Seen> {
  const seen: Seen = { stale: 0, across: new Map() };
  const browse = async (user: User) => {
    for (let i = 0; i < pairs / users.length; i++) {
      const savedBy = await user.save(origin);
      await sleep(THINK_MILLIS);
      const { isStale, by } = await user.reload(origin);
      if (isStale) seen.stale++;
      const pair = `${savedBy} → ${by}`;
      seen.across.set(pair, (seen.across.get(pair) ?? 0) + 1);
      await sleep(THINK_MILLIS);
    }
  };
  await Promise.all(users.map(browse));
  return seen;
}
