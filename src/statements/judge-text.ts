/**
 * Judges one text by the grammar and a catalogue, as if it were met for the first time. It remembers
 * nothing. A text that the grammar does not know, or that needs a catalogue while there is none, is a
 * write.
 */
import type { Catalog } from '../sql/catalog.js';
import type { Facts } from '../sql/facts.js';
import { type Grammar, TooLongError } from '../sql/grammar.js';
import { Interruption } from '../sql/turn.js';
import { factsOf } from '../sql/walk.js';
import { type Finding, NOT_LOADED, REFUSED, UNREAD } from './classification.js';

/**
 * @param catalog `undefined` while it is not known
 * @param isRefused whether replicas refused a statement like this one; asked for reads only
 * @throws Interruption when so much is behind the text that others should run first
 */
export function judgeText(
  text: string,
  grammar: Grammar,
  catalog: Catalog | undefined,
  isRefused: () => boolean,
): Finding {
  let facts: Facts;
  try {
    facts = factsOf(grammar.parse(text));
  } catch (error) {
    const because = error instanceof TooLongError ? error.message : UNREAD;
    return { facts: undefined, judgement: { class: 'write', because } };
  }
  const { calls, fields, relations, operators, types } = facts;
  const needsCatalog = [calls, fields, relations, operators, types].some((names) => names.length > 0);
  if (facts.class === 'write' || !needsCatalog) return { facts, judgement: facts };
  if (catalog === undefined) return { facts, judgement: NOT_LOADED };
  try {
    const judgement = catalog.judge(facts);
    return { facts, judgement: judgement.class === 'read' && isRefused() ? REFUSED : judgement };
  } catch (error) {
    if (error instanceof Interruption) throw error;
    return { facts, judgement: { class: 'write', because: 'it is nested too deeply' } };
  }
}
