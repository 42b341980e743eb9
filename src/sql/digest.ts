/**
 * What a statement is called where its text must not be told, as in events: `18:5f2c…`. It is equal
 * for texts that differ in their constants only. Never a key for answers: see the fingerprint.
 */
import { createHash } from 'node:crypto';
import { GRAMMAR_VERSION, type Grammar } from './grammar.js';

/**
 * @returns the grammar's version and 16 hexadecimal digits; by the exact text for what the grammar
 * cannot read
 */
export function digestOf(text: string, grammar: Grammar): string {
  const digits = grammar.fingerprint(text) ?? createHash('sha256').update(text).digest('hex').slice(0, 16);
  return `${GRAMMAR_VERSION}:${digits}`;
}
