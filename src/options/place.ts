/** Where a server is, by what pg makes of its options; nothing is connected to. */
import pg from 'pg';
import { invalidOptions } from '../errors.js';

export interface Where {
  /** `host:port`. */
  readonly address: string;
  readonly database: string;
}

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function clientOf(config: pg.PoolConfig, which: string): pg.Client {
  try {
    return new pg.Client(config);
  } catch {
    throw invalidOptions(`${which}: expected a server with options that pg can parse`);
  }
}

export function placeIn({ host, port, database = '' }: pg.Client): Where {
  return { address: `${host.toLowerCase()}:${port}`, database };
}

export function placeOf({ address, database }: Where): string {
  return `${address}/${database}`;
}
