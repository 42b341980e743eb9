/**
 * How the library's own connections are called in `pg_stat_activity`: by the user's `application_name`, and
 * by what they are for, such as `shop (lane)`. Connections that serve one statement at a time keep the
 * user's own name. It connects to nothing.
 */
import pg from 'pg';

/** Of the library's own connections: for its questions, or shared by short reads. */
export type ConnectionKind = 'control' | 'lane' | 'changes' | 'listen';

/** What the server keeps of a name: NAMEDATALEN - 1. */
const MAX_BYTES = 63;
/** From PostgreSQL 16 on, a byte that is no printable ASCII is shown as `\xNN`. */
const ESCAPED_BYTES = 4;
const DEFAULT_NAME = 'pg-ladder';

/** pg's Client with what its types leave out. */
interface Parameters {
  readonly connectionParameters?: {
    readonly application_name?: string;
    readonly fallback_application_name?: string;
    readonly options?: string;
  };
}

/** @param options pg's, of which the user has set some @returns at most 63 bytes, also as the server shows them */
export function applicationName(options: object, kind: ConnectionKind): string {
  const suffix = ` (${kind})`;
  return `${cut(givenName(options) ?? DEFAULT_NAME, MAX_BYTES - suffix.length)}${suffix}`;
}

/** What pg makes of the options, the connection string and the environment together. */
function givenName(options: object): string | undefined {
  const { connectionString, application_name, fallback_application_name, options: flags } = options as pg.ClientConfig;
  const asked = { connectionString, application_name, fallback_application_name, options: flags } as pg.ClientConfig;
  const { connectionParameters: found = {} } = new pg.Client(asked) as unknown as Parameters;
  // As with pg, an empty one is none.
  const name = found.application_name || found.fallback_application_name || nameInFlags(`${found.options ?? ''}`);
  return name ? `${name}` : undefined;
}

/** The name in the server's own flags, such as `-c application_name=shop`; the last one counts. */
function nameInFlags(flags: string): string | undefined {
  // White space parts them, unless a backslash stands before it.
  const words = (flags.match(/(?:\\.|[^\s\\])+/gs) ?? []).map((word) => word.replace(/\\(.)/gs, '$1'));
  let found: string | undefined;
  words.forEach((word, i) => {
    const setting = word === '-c' ? words[i + 1] : /^(?:-c|--)(.+)$/s.exec(word)?.[1];
    const [, name, value] = /^([\w-]+)=(.*)$/s.exec(setting ?? '') ?? [];
    if (name?.replaceAll('-', '_').toLowerCase() === 'application_name') found = value;
  });
  return found;
}

/** As much of it as so many bytes hold, in whole characters. */
function cut(name: string, maxBytes: number): string {
  let bytes = 0;
  let end = 0;
  for (const character of name) {
    bytes += /^[ -~]$/.test(character) ? 1 : ESCAPED_BYTES * Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    end += character.length;
  }
  return name.slice(0, end);
}
