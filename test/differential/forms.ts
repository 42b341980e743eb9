/**
 * The forms in which people hand over a statement: by arguments, as plain, frozen and read-only
 * objects, as classes with getters, with callbacks, and as what streams. Each says how it reads and
 * makes its arguments anew, so that no world sees what another has done to them.
 */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';

/** What a query object says whose values cannot be read. */
export const UNREADABLE = 'no values';

/** What of a client or pool a form needs. */
export interface Asked {
  query(...args: unknown[]): unknown;
}

export interface Form {
  print(text: string, values: string | undefined, name: string | undefined): string;
  /** Hands it over, and returns all that comes of it. */
  ask(to: Asked, text: string, values: unknown[] | undefined, name: string | undefined): unknown;
  /** Whether it needs a client of its own. */
  readonly isForClients?: true;
  /** Whether doors that only take text and values, or a config, take it. */
  readonly isForPools?: true;
}

function given(text: string, values: string | undefined, name: string | undefined, more = ''): string {
  return `{ ${name === undefined ? '' : `name: ${name}, `}text: ${text}${values === undefined ? '' : `, values: ${values}`}${more} }`;
}

function config(text: string, values: unknown[] | undefined, name: string | undefined): Record<string, unknown> {
  return { ...(name === undefined ? {} : { name }), text, ...(values === undefined ? {} : { values }) };
}

class Getters {
  readonly #text: string;
  readonly #values: unknown[] | undefined;

  constructor(text: string, values: unknown[] | undefined) {
    this.#text = text;
    this.#values = values;
  }

  get text(): string {
    return this.#text;
  }

  get values(): unknown[] | undefined {
    return this.#values;
  }
}

/** Its own fields can be reached by whoever inherits from it. */
class OpenGetters {
  readonly own: { text: string; values: unknown[] | undefined };

  constructor(text: string, values: unknown[] | undefined) {
    this.own = { text, values };
  }

  get text(): string {
    return this.own.text;
  }

  get values(): unknown[] | undefined {
    return this.own.values;
  }
}

const asText = { getTypeParser: () => (raw: unknown) => `raw ${String(raw)}` };

const FORM_TABLE = {
  args: {
    print: (text, values) => (values === undefined ? text : `${text}, ${values}`),
    ask: (to, text, values) => (values === undefined ? to.query(text) : to.query(text, values)),
  },
  config: {
    print: given,
    ask: (to, text, values, name) => to.query(config(text, values, name)),
  },
  'config and values': {
    print: (text, values) => `{ text: ${text} }, ${values ?? '[]'}`,
    ask: (to, text, values) => to.query({ text }, values ?? []),
  },
  array: {
    print: (text, values, name) => given(text, values, name, ", rowMode: 'array'"),
    ask: (to, text, values, name) => to.query({ ...config(text, values, name), rowMode: 'array' }),
  },
  types: {
    print: (text, values, name) => given(text, values, name, ', types: asText'),
    ask: (to, text, values, name) => to.query({ ...config(text, values, name), types: asText }),
  },
  'null values': {
    print: (text) => `{ text: ${text}, values: null }`,
    ask: (to, text) => to.query({ text, values: null }),
  },
  frozen: {
    print: (text, values, name) => `Object.freeze(${given(text, values, name)})`,
    ask: (to, text, values, name) =>
      to.query(Object.freeze(config(text, values && (Object.freeze(values) as unknown[]), name))),
  },
  'read-only': {
    print: (text, values, name) => `readOnly(${given(text, values, name)})`,
    ask: (to, text, values, name) => {
      const entries = Object.entries(config(text, values, name));
      return to.query(
        Object.defineProperties(
          {},
          Object.fromEntries(entries.map(([key, value]) => [key, { value, enumerable: true }])),
        ),
      );
    },
  },
  getters: {
    print: (text, values) => `new OpenGetters(${given(text, values, undefined)})`,
    ask: (to, text, values) => to.query(new OpenGetters(text, values)),
  },
  'private getters': {
    print: (text, values) => `new PrivateGetters(${given(text, values, undefined)})`,
    ask: (to, text, values) => to.query(new Getters(text, values)),
  },
  'throwing getter': {
    print: (text) => `{ text: ${text}, get values() { throw new Error('${UNREADABLE}') } }`,
    ask: (to, text) =>
      to.query({
        text,
        get values(): unknown[] {
          throw new Error(UNREADABLE);
        },
      }),
  },
  callback: {
    isForPools: true,
    print: (text, values) => `${text}, ${values === undefined ? '' : `${values}, `}callback`,
    ask: (to, text, values) =>
      new Promise((resolve, reject) => {
        const callback = (error: unknown, result: unknown) => (error ? reject(error as Error) : resolve(result));
        if (values === undefined) to.query(text, callback);
        else to.query(text, values, callback);
      }),
  },
  'query object': {
    isForClients: true,
    print: (text, values) => `new pg.Query(${given(text, values, undefined)})`,
    ask: (to, text, values) =>
      new Promise((resolve, reject) => {
        const query = new pg.Query(config(text, values, undefined) as unknown as string);
        query.on('end', resolve);
        query.on('error', reject);
        to.query(query);
      }),
  },
  cursor: {
    isForClients: true,
    print: (text, values) => `new Cursor(${text}, ${values ?? '[]'}) // 3 rows, then all`,
    ask: async (to, text, values) => {
      const cursor = to.query(new Cursor(text, values as unknown[])) as Cursor;
      try {
        const rows = await cursor.read(3);
        return { rows, rest: await cursor.read(10_000) };
      } finally {
        await cursor.close().catch(() => undefined);
      }
    },
  },
  'early cursor': {
    isForClients: true,
    print: (text, values) => `new Cursor(${text}, ${values ?? '[]'}) // closed after a row`,
    ask: async (to, text, values) => {
      const cursor = to.query(new Cursor(text, values as unknown[])) as Cursor;
      try {
        return { rows: await cursor.read(1) };
      } finally {
        await cursor.close().catch(() => undefined);
      }
    },
  },
  stream: {
    isForClients: true,
    print: (text, values) => `new QueryStream(${text}, ${values ?? '[]'})`,
    ask: async (to, text, values) => {
      const rows: unknown[] = [];
      const stream = to.query(new QueryStream(text, values as unknown[], { batchSize: 4 })) as QueryStream;
      for await (const row of stream) rows.push(row);
      return { rows };
    },
  },
  'copy in': {
    isForClients: true,
    print: (text, values) => `copyFrom(${text}) // ${values ?? ''}`,
    ask: async (to, text, values) => {
      const stream = to.query(copyFrom(text)) as ReturnType<typeof copyFrom>;
      await pipeline(Readable.from((values ?? []) as string[]), stream);
      return { rowCount: stream.rowCount };
    },
  },
  'copy out': {
    isForClients: true,
    print: (text) => `copyTo(${text})`,
    ask: async (to, text) => {
      const stream = to.query(copyTo(text)) as ReturnType<typeof copyTo>;
      return { text: (await buffer(stream)).toString(), rowCount: stream.rowCount };
    },
  },
} as const satisfies Record<string, Form>;

export type FormName = keyof typeof FORM_TABLE;
export const FORMS: Readonly<Record<FormName, Form>> = FORM_TABLE;
