/** The works: what one operation of one caller is. Pure but for chance; what is right to see is judged here, where is the contender's affair. */
import type { Access } from './contenders/access.js';
import { CALLERS, ROWS } from './statements.js';

export const workNames = [
  'point',
  'checkout',
  'ten',
  'thousand',
  'mixed',
  'sessions',
  'beside',
  'readback',
  'write',
  'transaction',
] as const;
export type WorkName = (typeof workNames)[number];

export const titles: Readonly<Record<WorkName, string>> = {
  point: 'a read by primary key',
  checkout: 'a read by primary key on a client that is taken from the pool for it',
  ten: '10 rows',
  thousand: '1,000 rows',
  mixed: '95 % reads and 5 % writes, read again by their writers',
  sessions: '95 % reads and 5 % writes, each in a session, read again by their writers',
  beside: 'a read by primary key in a session, beside 1,000 writes a second of others',
  readback: 'an update, and a read of the same row',
  write: 'an update by primary key',
  transaction: 'a transaction: a read and an update',
};

/** One operation. Resolves to whether its caller was shown what it had written, where there was anything to be shown. */
export type Operation = (caller: number) => Promise<boolean | undefined>;

/** Of twenty operations one is a write, and the next one reads what it wrote. */
const WRITES_ONE_IN = 20;

/** Made anew for each round: between two of them, others write to the same rows. */
export function operationOf(work: WorkName, access: Access): Operation {
  switch (work) {
    case 'point':
      return rowOf((id) => access.point(id));
    case 'checkout':
      if (access.checkout === undefined) throw new Error('it hands out no clients');
      return rowOf(access.checkout);
    case 'ten':
      return rangeOf(access, 10);
    case 'thousand':
      return rangeOf(access, 1_000);
    case 'mixed':
    case 'sessions':
      return mixed(access);
    case 'beside':
      return rowOf((id) => access.point(id));
    case 'readback':
      return async (caller) => {
        const value = below(2 ** 31);
        await access.update(caller, value);
        return (await access.point(caller)) === value;
      };
    case 'write':
      return async () => {
        await access.update(below(ROWS), below(ROWS));
        return undefined;
      };
    case 'transaction':
      return async () => {
        await access.transaction(below(ROWS), below(ROWS));
        return undefined;
      };
  }
}

function rowOf(point: Access['point']): Operation {
  return async () => {
    if ((await point(below(ROWS))) === undefined) throw new Error('a row is missing');
    return undefined;
  };
}

function rangeOf(access: Access, count: number): Operation {
  return async () => {
    if ((await access.range(below(ROWS - count), count)) !== count) throw new Error('rows are missing');
    return undefined;
  };
}

function mixed(access: Access): Operation {
  // Not all callers write at the same moment.
  const steps = Array.from({ length: CALLERS }, (_, caller) => caller % WRITES_ONE_IN);
  const written: number[] = [];
  return async (caller) => {
    const step = (steps[caller] as number) % WRITES_ONE_IN;
    steps[caller] = step + 1;
    if (step === 0) {
      const value = below(2 ** 31);
      await access.update(caller, value);
      written[caller] = value;
      return undefined;
    }
    if (step === 1 && written[caller] !== undefined) return (await access.point(caller)) === written[caller];
    await access.point(below(ROWS));
    return undefined;
  };
}

function below(count: number): number {
  return Math.floor(Math.random() * count);
}
