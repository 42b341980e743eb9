/** The classifier of a cluster: it judges texts by the catalogue of the cluster's own servers. */
import { inBackground } from '../async-context.js';
import type { Fleet } from '../nodes/fleet.js';
import { Classifier } from '../statements/classifier.js';
import { loadCatalog } from './load-catalog.js';

/**
 * @param grammarMissing called for each text that was to be read while the grammar cannot be loaded
 * @param stampQuery stamps the definitions of a server, where anybody compares them
 */
export function classifierOf(
  fleet: Fleet,
  grammarMissing: (cause: unknown) => void,
  stampQuery: () => string | undefined,
): Classifier {
  const { readOnlyFunctions, catalogRefreshMillis, onInvalidHint } = fleet.settings;
  const isStrict = process.env['NODE_ENV'] !== 'production';
  return new Classifier({
    load: (known) => inBackground(() => loadCatalog(fleet, undefined, known, stampQuery)),
    grammarMissing,
    readOnlyFunctions,
    catalogRefreshMillis,
    rejectsInvalidHints: (onInvalidHint ?? (isStrict ? 'throw' : 'ignore')) === 'throw',
  });
}
