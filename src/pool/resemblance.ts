/** Makes a client answer for all that pg's has: what it does not do itself, the one behind it does. */
import { EventEmitter } from 'node:events';
import type { Client } from 'pg';

interface Standin {
  readonly primaryClient: Client;
}

/** @param template a client of pg's, not connected, whose fields and methods are taken over where `prototype` has none */
export function resemble(prototype: Standin, template: object): void {
  for (const [name, isMethod] of membersOf(template)) {
    // What the client itself does, and not what it inherits for the sake of `instanceof`.
    if (Object.hasOwn(Object.getPrototypeOf(prototype) as object, name)) continue;
    const descriptor: PropertyDescriptor & ThisType<{ primaryClient: Record<PropertyKey, unknown> }> = isMethod
      ? {
          value(this: { primaryClient: Record<PropertyKey, (...args: unknown[]) => unknown> }, ...args: unknown[]) {
            return this.primaryClient[name]?.(...args);
          },
          writable: true,
        }
      : {
          get() {
            return this.primaryClient[name];
          },
          set(value: unknown) {
            this.primaryClient[name] = value;
          },
        };
    Object.defineProperty(prototype, name, { configurable: true, ...descriptor });
  }
}

/** A client's listeners are its own. */
const ofEmitters = new Set(Reflect.ownKeys(new EventEmitter()));

/** Fields and methods, the nearest first; no field is read but its own value. */
function membersOf(template: object): Map<PropertyKey, boolean> {
  const members = new Map<PropertyKey, boolean>();
  for (
    let level: object | null = template;
    level !== null && level !== EventEmitter.prototype && level !== Object.prototype;
    level = Object.getPrototypeOf(level) as object | null
  ) {
    for (const name of Reflect.ownKeys(level)) {
      if (name === 'constructor' || ofEmitters.has(name) || members.has(name)) continue;
      const isMethod = typeof Object.getOwnPropertyDescriptor(level, name)?.value === 'function';
      members.set(name, isMethod && level !== template);
    }
  }
  return members;
}
