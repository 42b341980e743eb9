/**
 * Who answers on a new connection, and when its role changes. Where sessions begin SERIALIZABLE by default, a standby
 * refuses all statements: such a connection is set to REPEATABLE READ, if its user allows that. Connections behind a
 * pooler are left alone, since other clients share them.
 */
import type { Client, PoolClient } from 'pg';
import { refusesSerializable } from '../postgres/errors.js';
import { listenForSettings } from '../postgres/internals.js';
import { IDENTITY, IDENTITY_RELAXED, RELAX_ALL } from '../postgres/own-statements.js';
import { question } from '../postgres/plain-types.js';
import { type Identity, type IdentityRow, identityFrom, isDirect } from './observation.js';

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
    const identity = await ask(client, IDENTITY_RELAXED);
    if (!isDirect(client, identity)) throw error;
    await client.query(question(RELAX_ALL));
    return { identity, isRelaxed: true };
  }
}

async function ask(client: Client | PoolClient, text: string): Promise<Identity> {
  // pg gives one result for each statement of a text; the last one is the question.
  const results = [await client.query<IdentityRow>(question(text))].flat();
  return identityFrom(results.at(-1)?.rows[0], client);
}

/** PostgreSQL reports `in_hot_standby` by itself when it changes. @returns a function that stops listening */
export function listenForRole(client: object, onChange: () => void): () => void {
  return listenForSettings(client, (name) => {
    if (name === 'in_hot_standby') onChange();
  });
}
