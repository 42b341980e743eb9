/**
 * What the connection that listens asks, and how names of channels stand in it: quoted, so that
 * PostgreSQL takes them exactly as they are.
 */
import { invalidOptions } from '../errors.js';
import { own } from '../postgres/own-statements.js';

/** What PostgreSQL keeps of a name: NAMEDATALEN - 1. It cuts off the rest. */
const MOST_BYTES = 63;

/** The server ends the connection of a client that is frozen: what it does not read, the queue keeps. */
const IDLE_MILLIS = 60_000;
/** That does not end one that is stuck in sending to such a client; this does. A full queue fails the commits of others. */
const UNREAD_MILLIS = 10_000;

const SETTINGS: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  idle_session_timeout: `${IDLE_MILLIS}`,
  tcp_user_timeout: `${UNREAD_MILLIS}`,
};

export const HEARING_SETTINGS = own(
  `select ${Object.entries(SETTINGS)
    .map(([name, value]) => `pg_catalog.set_config('${name}', '${value}', false)`)
    .join(', ')}`,
);

/** On how many channels this connection listens: it shows that the server is there, and still knows. */
export const CHANNEL_COUNT = own(
  'select pg_catalog.concat(pg_catalog.count(*)) as count from pg_catalog.pg_listening_channels()',
);

/** A name is not to be changed by what makes one line of a text. */
const MARK = own('');

/** @param channels checked by {@link checkedChannel} */
export function listenOn(channels: readonly string[]): string {
  return channels.map((channel) => `listen ${quoted(channel)}${MARK}`).join('; ');
}

/** @param channels checked by {@link checkedChannel} */
export function unlisten(channels: readonly string[]): string {
  return channels.map((channel) => `unlisten ${quoted(channel)}${MARK}`).join('; ');
}

/** @throws LadderError `LADDER_INVALID_OPTIONS`: its name is one that PostgreSQL would refuse, or take for another */
export function checkedChannel(channel: unknown): string {
  if (typeof channel !== 'string' || channel === '') throw invalidOptions('listen: channel: expected a name');
  // A lone surrogate would be sent as another character.
  if (channel.includes('\0') || /\p{Surrogate}/u.test(channel))
    throw invalidOptions('listen: channel: expected a name without NUL and lone surrogates');
  if (Buffer.byteLength(channel) > MOST_BYTES)
    throw invalidOptions(
      `listen: channel: expected a name of at most ${MOST_BYTES} bytes: PostgreSQL cuts off the rest`,
    );
  return channel;
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
