/**
 * Who answers on a new connection. Where sessions begin SERIALIZABLE by default, a standby refuses whatever they ask: such a connection is set to REPEATABLE READ, if its
 * user allows that. It never changes what a server is asked to do by anybody else, and so leaves connections behind a pooler alone: they are not one client's.
 */
import type { Client, PoolClient } from 'pg';
import { refusesSerializable } from '../postgres/errors.js';
import { IDENTITY } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import { type Identity, type IdentityRow, identityFrom, isDirect } from './observation.js';

const ONE_TRANSACTION = 'set transaction isolation level repeatable read';
const ALL_TRANSACTIONS = "set default_transaction_isolation = 'repeatable read'";

export interface Identified {
  readonly identity: Identity;
  /** Whether it was set to REPEATABLE READ, where its user's statements would be SERIALIZABLE on a primary. */
  readonly isRelaxed: boolean;
}

/** @throws InvalidAnswer, and pg's errors */
export async function identify(client: Client | PoolClient, mayRelax: boolean): Promise<Identified> {
  try {
    return { identity: await ask(client, IDENTITY), isRelaxed: false };
  } catch (error) {
    if (!mayRelax || !refusesSerializable(error)) throw error;
    const identity = await ask(client, `${ONE_TRANSACTION}; ${IDENTITY}`);
    if (!isDirect(client, identity)) throw error;
    await client.query(question(ALL_TRANSACTIONS));
    return { identity, isRelaxed: true };
  }
}

async function ask(client: Client | PoolClient, text: string): Promise<Identity> {
  // pg gives one result for each statement of a text; the last one is the question.
  const results = [await client.query<IdentityRow>(question(text))].flat();
  return identityFrom(results.at(-1)?.rows[0], client);
}
