/** What the tests of failovers ask of their servers. */
import pg from 'pg';
import type { Cluster } from '../../src/index.js';
import type { TestNode } from '../../src/testing/index.js';

export const named = ({ name, connectionString }: TestNode) => ({ name, connectionString });

export async function ask<Row extends pg.QueryResultRow>(node: TestNode, text: string): Promise<Row[]> {
  const client = new pg.Client(node.connectionString);
  await client.connect();
  const { rows } = await client.query<Row>(text);
  await client.end();
  return rows;
}

export const isPrimary = (cluster: Cluster, name: string) => () =>
  cluster.stats().nodes.some((node) => node.name === name && node.role === 'primary' && node.state === 'live');
