/** Warns of statements whose effect belongs to a connection that they share with others. */
import { CallingContext } from '../async-context.js';
import type { Publisher } from '../publisher.js';
import type { Classifier } from '../statements/classifier.js';

/** Once for all texts that differ in constants only. @param because what it leaves behind, in words */
export function tellSessionState(because: string, text: string, classifier: Classifier, publisher: Publisher): void {
  if (!publisher.wants('warning') || !classifier.isFirst(text)) return;
  const digest = classifier.digest(text);
  const message = `${because}: it ran on a pool, whose connections are shared; use transaction() or connection(), or onConnect for what holds for all`;
  publisher.publish('warning', { code: 'session-state', message, digest }, new CallingContext());
}
