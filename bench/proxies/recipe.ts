/** The files of examples/poolers, filled in as a user would: what is measured and tested is what is recommended. */
import { readFileSync } from 'node:fs';
import type { Servers } from '../contenders/access.js';
import { addressOf } from './proxy.js';

type Values = Readonly<Record<string, string | number>>;

/** @throws Error for a blank that `values` does not fill */
export function recipe(file: string, values: Values): string {
  const text = readFileSync(new URL(`../../examples/poolers/${file}`, import.meta.url), 'utf8');
  return text.replace(/<([a-z0-9-]+)>/g, (_, blank: string) => {
    const value = values[blank];
    if (value === undefined) throw new Error(`examples/poolers/${file}: nothing fills <${blank}>`);
    return String(value);
  });
}

/** `text` with something else in one place, for what departs from the recipe. @throws Error when the recipe does not say that */
export function instead(text: string, said: string | RegExp, now: string): string {
  if (text.search(said) < 0) throw new Error(`the recipe does not say ${said}`);
  return text.replace(said, now);
}

/** Where a primary and two replicas are, as the recipes call it. */
export function addresses({ primary, replicas }: Servers): Values {
  const named = [['primary', primary] as const, ...replicas.map((url, index) => [`r${index + 1}`, url] as const)];
  return Object.fromEntries(
    named.flatMap(([name, url]) => {
      const { host, port } = addressOf(url);
      return [
        [`${name}-host`, host],
        [`${name}-port`, port],
      ];
    }),
  );
}
