/** Looks for planted secrets in all that a program may log of an object: what it says by itself, and what can be found by walking through it. */
import { inspect } from 'node:util';

/** Secrets by what they are: each is a text that stands nowhere else. */
export type Canaries = Readonly<Record<string, string>>;

/** How an object may come to be logged. */
export type View = 'text' | 'json' | 'inspect' | 'bare inspect' | 'walk';

const all = {
  depth: Number.POSITIVE_INFINITY,
  maxArrayLength: null,
  maxStringLength: null,
  showHidden: true,
  getters: true,
} as const;

const views: Record<View, (value: unknown) => string> = {
  text: (value) => String(value),
  json: (value) => JSON.stringify(value) ?? '',
  inspect: (value) => inspect(value, all),
  // what the objects themselves say of themselves left out
  'bare inspect': (value) => inspect(value, { ...all, customInspect: false }),
  walk: (value) => walk(value, new Set()).join('\n'),
};

/** @returns `view: what was found` for each, in the order of the views */
export function found(value: unknown, canaries: Canaries, asked: readonly View[] = viewNames): string[] {
  return asked.flatMap((view) => {
    const text = seen(value, view);
    return Object.entries(canaries).flatMap(([name, canary]) => (text.includes(canary) ? [`${view}: ${name}`] : []));
  });
}

export const viewNames = Object.keys(views) as View[];

/** Some objects have no such view: those of Node's sockets are circular, and a proxy may refuse. */
function seen(value: unknown, view: View): string {
  try {
    return views[view](value);
  } catch (error) {
    return String(error);
  }
}

/** All text in enumerable properties, own and inherited, by names and symbols; in maps and sets; and behind errors. */
function walk(value: unknown, met: Set<unknown>): string[] {
  if (typeof value === 'string') return [value];
  if (value instanceof Uint8Array) return [Buffer.from(value).toString('latin1')];
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || met.has(value)) return [];
  met.add(value);
  const texts: string[] = [];
  const keys: PropertyKey[] = [];
  for (const key in value) keys.push(key);
  for (let level: object | null = value; level !== null; level = Object.getPrototypeOf(level) as object | null) {
    keys.push(
      ...Object.getOwnPropertySymbols(level).filter((key) => Object.prototype.propertyIsEnumerable.call(level, key)),
    );
  }
  for (const key of keys) {
    try {
      texts.push(String(key), ...walk((value as Record<PropertyKey, unknown>)[key], met));
    } catch {
      // A getter of a prototype that is no instance.
    }
  }
  if (value instanceof Map || value instanceof Set) for (const entry of value) texts.push(...walk(entry, met));
  if (value instanceof Error) texts.push(value.message, value.stack ?? '', ...walk(value.cause, met));
  return texts;
}
