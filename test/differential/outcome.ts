/**
 * What came of a step, in a shape that two worlds can be compared by: everything that pg hands over
 * stays, only what differs between any two databases (the numbers of tables and types) becomes the
 * order in which the program met them.
 */
import pg from 'pg';
import { LadderError } from '../../src/index.js';

export type Outcome = unknown;

/** PostgreSQL's own tables and types lie below. */
const FIRST_USER_OID = 16_384;
/** Of errors, what goes by where they were made: `length` by the name of a cursor's portal. */
const LEFT_OUT = new Set(['stack', 'client', 'length']);
/** What every statement gets in a failed transaction; where it is raised goes by whether the connection knew the statement's name. */
const IN_FAILED_TRANSACTION = '25P02';
const PLACE = new Set(['line', 'routine']);

export class Oids {
  readonly #seen = new Map<number, number>();

  symbolOf(oid: number): number | string {
    if (oid < FIRST_USER_OID) return oid;
    let symbol = this.#seen.get(oid);
    if (symbol === undefined) {
      symbol = this.#seen.size + 1;
      this.#seen.set(oid, symbol);
    }
    return `user's ${symbol}`;
  }
}

interface Field {
  readonly tableID: number;
  readonly dataTypeID: number;
}

export function outcomeOf(answer: unknown, oids: Oids): Outcome {
  if (Array.isArray(answer)) return answer.map((one) => outcomeOf(one, oids));
  if (!(answer instanceof pg.Result)) return answer;
  const { command, rowCount, rows, fields, oid } = answer as pg.QueryResult;
  return { command, rowCount, oid, rows, fields: fields.map((field) => fieldOf(field, oids)) };
}

function fieldOf(field: Field, oids: Oids): object {
  return { ...field, tableID: oids.symbolOf(field.tableID), dataTypeID: oids.symbolOf(field.dataTypeID) };
}

export interface Failure {
  readonly class: string;
  readonly name: string;
  readonly code: unknown;
  readonly message: string;
  readonly [more: string]: unknown;
}

/** An error as an outcome; with the library's own ones, their words do not count. */
export function failureOf(error: unknown): { readonly failed: Failure } {
  if (LadderError[Symbol.hasInstance](error)) {
    const { code, cause } = error as LadderError;
    return { failed: ladderFailure(code, cause === undefined ? undefined : failureOf(cause).failed) };
  }
  if (!(error instanceof Error))
    return { failed: { class: 'none', name: typeof error, code: undefined, message: String(error) } };
  const more = Object.entries(error)
    .filter(([key, value]) => !LEFT_OUT.has(key) && value !== undefined)
    .filter(([key]) => !PLACE.has(key) || (error as { code?: unknown }).code !== IN_FAILED_TRANSACTION)
    // Cursors count their portals in each process.
    .map(([key, value]) => [key, key === 'where' ? String(value).replace(/"C_\d+"/, '"C_…"') : value]);
  const { name, message } = error;
  return {
    failed: {
      ...Object.fromEntries(more),
      class: error.constructor.name,
      name,
      message: plain(message),
      code: (error as { code?: unknown }).code,
    },
  };
}

export function ladderFailure(code: string, cause: Failure | undefined): Failure {
  return { class: 'LadderError', name: 'LadderError', code, message: '', cause };
}

export function failedWith(outcome: Outcome): Failure | undefined {
  return (outcome as { failed?: Failure } | null | undefined)?.failed;
}

/** Messages name tables and types by their numbers now and then. */
function plain(message: string): string {
  return message.replace(/\b(OID|oid|type|relation) \d{5,}\b/g, '$1 …');
}
