/** What a replica is asked of its catalogue, and where it stands. It judges no answer but whether it can be one. */
import type { Lsn } from '../freshness/lsn.js';
import type { Node } from '../nodes/node.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { localStamp, SHARED_STAMP } from './definition-stamps.js';

const MOST_STAMP_LENGTH = 200;

interface SharedRow {
  readonly stamp: unknown;
  readonly is_told: unknown;
  readonly local_bytes: unknown;
  readonly took_millis: unknown;
}

/** @param eventTriggers those by which a source tells the rest */
export async function askShared(replica: Node, eventTriggers: readonly string[]) {
  const values = [eventTriggers];
  const { rows, identity } = await replica.adminQueries.look<SharedRow>(SHARED_STAMP, values, 'pgladder_shared_stamp');
  const { stamp, is_told, local_bytes, took_millis } = rows[0] ?? {};
  return {
    server: identity.server,
    version: identity.version,
    stamp: textOf(stamp),
    isTold: is_told === true,
    localBytes: numberOf(local_bytes),
    tookMillis: numberOf(took_millis),
  };
}

export async function askLocal(replica: Node, version: number) {
  const { rows, identity } = await replica.adminQueries.look<Pick<SharedRow, 'stamp' | 'took_millis'>>(
    localStamp(version),
    undefined,
    'pgladder_local_stamp',
  );
  return {
    server: identity.server,
    stamp: textOf(rows[0]?.stamp),
    tookMillis: numberOf(rows[0]?.took_millis),
  };
}

/** Where a replica stands by a question sent from now on; `undefined` where it is not shown to follow the primary. */
export async function where(replica: Node): Promise<{ readonly lsn: Lsn; readonly server: string } | undefined> {
  await replica.probe.observe();
  const { lsn, observation } = replica;
  return lsn === undefined || observation === undefined ? undefined : { lsn, server: observation.identity.server };
}

function textOf(value: unknown): string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MOST_STAMP_LENGTH)
    throw new InvalidAnswer('the stamp of the catalogue is none');
  return value;
}

function numberOf(value: unknown): number {
  const number = typeof value === 'string' && value.length <= 40 ? Number(value) : Number.NaN;
  if (!Number.isFinite(number) || number < 0) throw new InvalidAnswer('what is told beside a stamp is no number');
  return number;
}
