/**
 * pg as it is, and as people and places change it. Each is a class of clients, which a pool takes
 * as its option.
 */
import pg from 'pg';
import type { DriverName } from './program.js';

type ClientClass = typeof pg.Client;

/**
 * As tracing does it that adds a comment to each text: what it passes on has the own keys of what
 * it was given.
 */
class RewritingClient extends pg.Client {
  override query(...given: unknown[]): never {
    const [query, ...more] = given;
    const isPlain = typeof query === 'object' && query !== null && !('submit' in query);
    const passedOn = isPlain ? { ...query, text: `${(query as { text: string }).text} /*traced*/` } : query;
    return super.query(passedOn as string, ...(more as [unknown[]])) as never;
  }
}

const GERMAN: Readonly<Record<string, string>> = { ERROR: 'FEHLER', PANIC: 'PANIK', WARNING: 'WARNUNG' };

/** As behind a server with another `lc_messages`: it translates the severity that pg hands on. */
class LocalisedClient extends pg.Client {
  constructor(...given: ConstructorParameters<ClientClass>) {
    super(...given);
    const { connection } = this as unknown as { connection: NodeJS.EventEmitter };
    connection.on('errorMessage', (message: { severity: string }) => {
      message.severity = GERMAN[message.severity] ?? message.severity;
    });
  }
}

/** As before pg 8.23. */
class StatuslessClient extends pg.Client {}
Object.defineProperty(StatuslessClient.prototype, 'getTransactionStatus', { value: undefined });

/**
 * What a class has only in getters, drivers and pg itself lose: pg from 8.23 on copies what it is
 * given, and private fields do not come along. The library reads it first, and so does the reference.
 */
export function readingGetters(Base: ClientClass = pg.Client): ClientClass {
  return class extends Base {
    override query(...given: unknown[]): never {
      const [query, ...more] = given;
      return super.query((isOfClass(query) ? plain(query) : query) as string, ...(more as [unknown[]])) as never;
    }
  };
}

/** A client of such a class as it is without: that of a transaction is pg's own in the library, too. */
export function withoutReading(client: object): { query(...given: unknown[]): unknown } {
  const reading = Object.getPrototypeOf(client) as object;
  const base = Object.getPrototypeOf(reading) as { query(...given: unknown[]): unknown };
  return { query: (...given) => base.query.apply(client, given) };
}

function isOfClass(query: unknown): query is { text: string; values?: unknown[] } {
  if (typeof query !== 'object' || query === null || 'submit' in query) return false;
  const prototype: unknown = Object.getPrototypeOf(query);
  return prototype !== Object.prototype && prototype !== null;
}

function plain({ text, values }: { text: string; values?: unknown[] }): object {
  return values === undefined ? { text } : { text, values };
}

const CLASSES: Readonly<Record<DriverName, ClientClass | undefined>> = {
  plain: undefined,
  rewriting: RewritingClient,
  localised: LocalisedClient,
  'without status': StatuslessClient,
};

export function clientOption(driver: DriverName): { Client?: ClientClass } {
  const Client = CLASSES[driver];
  return Client === undefined ? {} : { Client };
}
