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
