/**
 * Adds fields to the head of a response that is about to leave, beside the application's own. It
 * does not know what fields mean.
 */
import type { ServerResponse } from 'node:http';

/**
 * The head of an answer, as far as it is set, and as far as `writeHead` is about to set it: what
 * that is given wins.
 */
export class ResponseHead {
  readonly #response: ServerResponse;
  readonly #args: unknown[] | undefined;
  /** Where the headers stand among the arguments. */
  readonly #at: number;

  constructor(response: ServerResponse, args: unknown[] | undefined) {
    this.#response = response;
    this.#args = args === undefined ? undefined : [...args];
    // The phrase beside the status may be left out, or left open.
    const [, second] = args ?? [];
    this.#at = typeof second === 'string' || (second === undefined && args !== undefined && args.length > 2) ? 2 : 1;
  }

  get args(): unknown[] | undefined {
    return this.#args;
  }

  /** Of all its fields, in small letters. */
  get names(): string[] {
    const given = this.#given().map(([key]) => key.toLowerCase());
    return [...new Set([...given, ...this.#response.getHeaderNames()])];
  }

  /** Of the answer. */
  get statusCode(): number {
    const given = this.#args?.[0];
    return typeof given === 'number' ? given : this.#response.statusCode;
  }

  get(name: string): string | undefined {
    const given = this.#given().filter(([key]) => key.toLowerCase() === name);
    const value = given.length > 0 ? given.flatMap(([, one]) => one) : this.#response.getHeader(name);
    return value === undefined ? undefined : String(value);
  }

  set(name: string, value: string): void {
    this.#without(name);
    this.#write(name, [value]);
  }

  add(name: string, value: string): void {
    const given = this.#given().filter(([key]) => key.toLowerCase() === name);
    const before = given.length > 0 ? given.flatMap(([, one]) => one) : [this.#response.getHeader(name) ?? []].flat();
    this.#without(name);
    this.#write(name, [...before.map(String), value]);
  }

  delete(name: string): void {
    this.#without(name);
    this.#response.removeHeader(name);
  }

  /** A list goes out as it is only where nothing else was set. */
  #write(name: string, values: string[]): void {
    const headers = this.#args?.[this.#at];
    if (!Array.isArray(headers) || this.#args === undefined || this.#response.getHeaderNames().length > 0) {
      this.#response.setHeader(name, name === 'set-cookie' ? values : values.join(', '));
      return;
    }
    const isOfPairs = Array.isArray(headers[0]);
    const more = values.map((value) => [name, value]);
    this.#args[this.#at] = [...(headers as unknown[]), ...(isOfPairs ? more : more.flat())];
  }

  #given(): [string, string | string[]][] {
    const headers = this.#args?.[this.#at];
    if (Array.isArray(headers)) {
      if (Array.isArray(headers[0])) return headers as [string, string][];
      const pairs: [string, string][] = [];
      for (let i = 0; i < headers.length; i += 2) pairs.push([String(headers[i]), headers[i + 1] as string]);
      return pairs;
    }
    return Object.entries((headers ?? {}) as Record<string, string | string[]>);
  }

  #without(name: string): void {
    if (this.#args === undefined) return;
    const pairs = this.#given();
    const kept = pairs.filter(([key]) => key.toLowerCase() !== name);
    if (kept.length === pairs.length) return;
    const headers = this.#args[this.#at];
    if (!Array.isArray(headers)) this.#args[this.#at] = Object.fromEntries(kept);
    else this.#args[this.#at] = Array.isArray(headers[0]) ? kept : kept.flat();
  }
}
