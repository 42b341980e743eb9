/** Reads what servers have counted of statements, where they count, and say so. Never fails: what nobody tells is not known. */
import { inBackground } from '../async-context.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { question } from '../postgres/plain-types.js';
import { STATISTICS_PLACE, statisticsIn } from '../postgres/statistics-statements.js';
import { checkout } from './primary.js';

/** A statement, its constants replaced by parameters. */
export interface StatementStatistic {
  readonly text: string;
  readonly callCount: number;
  /** What the server took for one, in milliseconds: the mean. */
  readonly millis: number;
}

type Row = Readonly<Record<string, unknown>>;

/** Of all servers, each by itself. */
export async function statementStatistics({ nodes }: Fleet): Promise<readonly StatementStatistic[]> {
  const found = await Promise.all(nodes.map((node) => statisticsOf(node).catch(() => [])));
  return found.flat();
}

async function statisticsOf(node: Node): Promise<readonly StatementStatistic[]> {
  const { client } = await checkout(node, false, undefined);
  const ask = async (text: string): Promise<readonly Row[]> => {
    const { rows } = await inBackground(() => client.query<Row>(question(text)));
    return rows;
  };
  try {
    const [place] = await ask(STATISTICS_PLACE);
    const schema = place?.['schema'];
    const rows = typeof schema === 'string' && schema !== '' ? await ask(statisticsIn(schema)) : [];
    client.release();
    return rows.flatMap(statisticIn);
  } catch (error) {
    client.release(true);
    throw error;
  }
}

/** A server may answer anything. */
function statisticIn({ query: text, calls, millis: mean }: Row): StatementStatistic[] {
  const [callCount, millis] = [Number(calls), Number(mean)];
  const isOne = typeof text === 'string' && callCount >= 1 && Number.isFinite(callCount) && millis >= 0;
  return isOne && Number.isFinite(millis) ? [{ text, callCount, millis }] : [];
}
