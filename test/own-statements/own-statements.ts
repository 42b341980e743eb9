/** Every statement that the library sends by itself, as it is sent; those in `src/testing` and those that the sources spell out in one piece excepted. */
import { localStamp, SHARED_STAMP } from '../../src/changes/definition-stamps.js';
import { serverState, tableStates } from '../../src/changes/installation-state.js';
import { NOTIFY_COSTS } from '../../src/changes/notify-check.js';
import {
  COVERAGE,
  listenOn,
  lookAt,
  NOTIFY_SERVER,
  NOTIFY_SETTINGS,
  watermark,
} from '../../src/changes/notify-statements.js';
import { publicationQuery } from '../../src/changes/publication.js';
import * as sourceStatements from '../../src/changes/source-statements.js';
import { SCHEMA } from '../../src/cli/demo/workload.js';
import { replicationDiscovery } from '../../src/discovery/index.js';
import {
  CHANNEL_COUNT,
  HEARING_SETTINGS,
  listenOn as listenOnChannels,
  unlisten,
} from '../../src/listen/statements.js';
import * as statements from '../../src/postgres/own-statements.js';
import { STATISTICS_PLACE, statisticsIn } from '../../src/postgres/statistics-statements.js';
import { CATALOG, catalogQuery } from '../../src/sql/catalog-queries.js';

const { nudge, begin, own: _, ...constants } = statements;

const { sessionSettings, takeLock, lockHolder, quotedName: _1, ...ofSources } = sourceStatements;

/** For the change stream. */
export const changeStatements: Readonly<Record<string, string>> = {
  SHARED_STAMP,
  'local stamp before 15': localStamp(140_000),
  'local stamp': localStamp(180_000),
  ...ofSources,
  'the settings of a connection that reads the log': sessionSettings(5_000),
  'the lock of who reads the log': takeLock(-1n),
  'whether somebody has that lock': lockHolder(-1n),
  'what a publication tells before 15': publicationQuery('pg_ladder', 140_000),
  'what a publication tells': publicationQuery('a "b" \'c', 180_000),
  NOTIFY_SETTINGS,
  NOTIFY_SERVER,
  NOTIFY_COSTS,
  COVERAGE,
  'LISTEN for changes': listenOn('pg_ladder_1'),
  watermark: watermark('pg_ladder_1', 1),
  'look at triggers': lookAt([16_384, 16_385]),
  ...(await installationQueries(140_000)),
  ...(await installationQueries(180_000)),
};

/** For `cluster.listen`. */
export const listenStatements: Readonly<Record<string, string>> = {
  HEARING_SETTINGS,
  CHANNEL_COUNT,
  'LISTEN on channels': listenOnChannels(['heard']),
  'UNLISTEN of channels': unlisten(['heard']),
};

/** For `cache.auto`. */
export const statisticsStatements: Readonly<Record<string, string>> = {
  STATISTICS_PLACE,
  'statistics of statements': statisticsIn('pg_catalog'),
};

export const ownStatements: Readonly<Record<string, string>> = {
  ...constants,
  'BEGIN with modes': begin('isolation level repeatable read', 'read only'),
  'nudge before 17': nudge('16/B374D848', 160_000),
  nudge: nudge('16/B374D848', 180_000),
  CATALOG,
  'the catalogue with few functions': catalogQuery(new Set(['a', 'b'])),
  ...changeStatements,
  ...listenStatements,
  ...statisticsStatements,
  STANDBYS: await standbys(),
};

/** What the demo sets up on servers of its own. */
export const demoStatements: Readonly<Record<string, string>> = { SCHEMA };

async function standbys(): Promise<string> {
  let asked = '';
  const discovery = replicationDiscovery();
  const ask = (text: string): Promise<never[]> => {
    asked = text;
    return Promise.resolve([]);
  };
  await Promise.resolve(discovery({ signal: new AbortController().signal, ask })).catch(() => undefined);
  return asked;
}

/** What is asked of a server to be set up for the change stream. */
async function installationQueries(version: number): Promise<Record<string, string>> {
  const asked: string[] = [];
  const server = {
    query: ({ text }: { text: string }) => {
      asked.push(text);
      return Promise.resolve({ rows: [{ state: JSON.stringify({ version }) }] });
    },
  };
  await serverState(server, 'pg_ladder');
  await tableStates(server, [{ schema: 'public', name: 'products' }]);
  return Object.fromEntries(asked.map((text, index) => [`installation query ${index} of ${version}`, text]));
}
