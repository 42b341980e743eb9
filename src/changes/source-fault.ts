/** Why a log cannot be read, in words that hold no values, names or addresses. */
import { NoAnswer } from '../postgres/errors.js';

export class SourceFault extends Error {
  /** Whether the server gives no sign of life: it gets no goodbye. */
  readonly isSilence: boolean;

  constructor(words: string, isSilence = false) {
    super(words);
    this.isSilence = isSilence;
  }
}

/** By SQLSTATE. */
const WORDS: Readonly<Record<string, string>> = {
  '0A000': 'the server cannot tell its log',
  '28000': 'the role may not connect for replication',
  '28P01': 'the server refuses the password',
  '42501': 'the role has no right to read the log: it needs REPLICATION',
  '42704': 'the slot or the publication is gone',
  '53300': 'the server has no connection left for replication (max_wal_senders, max_connections)',
  '53400': 'the server has no replication slot left (max_replication_slots), or the slot is too large',
  '55000': 'the server gives no slot, or has taken it back: see wal_level and max_slot_wal_keep_size',
  '57P01': 'the server is shutting down, or has ended the connection',
  '57P03': 'the server does not take connections yet',
};

/** @param error of pg, of the socket, or of ours */
export function wordsFor(error: unknown): string {
  if (error instanceof SourceFault) return error.message;
  if (error instanceof NoAnswer) return 'the server does not answer';
  if (error instanceof RangeError) return 'the log holds a message that makes no sense';
  const { code } = Object(error) as { code?: unknown };
  if (typeof code !== 'string' || !/^\w{1,64}$/.test(code)) return 'the connection was lost';
  return WORDS[code] ?? `the connection was lost, or refused (${code})`;
}
