/**
 * What objects that hold secrets show when they are logged: a name and a few facts, in JSON and in util.inspect. It keeps nothing from code that reads
 * a property, and so is the second line only: secrets belong in `#private` fields and closures.
 */

type Inspect = (value: unknown, options: object) => string;

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/**
 * Has `target`, and what inherits from it, logged as `name` and what `facts` tells, whatever else there is to see.
 * @param target a prototype, or a plain object: a copy of that loses nothing, and does not take this along
 */
export function logsOnly<T extends object>(target: T, name: string, facts: (self: T) => object): void {
  const told = (self: T): object => {
    // Loggers also meet prototypes and proxies, which have no private fields.
    try {
      return facts(self);
    } catch {
      return {};
    }
  };
  const methods = {
    toJSON(this: T): object {
      return told(this);
    },
    [INSPECT](this: T, depth: number, options: object, inspect: Inspect): string {
      return depth < 0 ? `[${name}]` : `${name} ${inspect(told(this), options)}`;
    },
  };
  for (const key of Reflect.ownKeys(methods)) {
    const value = methods[key as keyof typeof methods];
    Object.defineProperty(target, key, { value, configurable: true, writable: true });
  }
}
