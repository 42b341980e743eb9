// A superuser's password, and what a server keeps of it. The latter does not allow a login.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';

/**
 * Of a random password nothing can be guessed: stretching it would only make each connection
 * slower.
 */
const ITERATIONS = 1;

/** 128 random bits, in letters that need no quotes in a URL, a conninfo or a shell. */
export function newPassword(): string {
  return randomBytes(16).toString('hex');
}

/** The password as PostgreSQL stores it (RFC 5803), so that it need not be told. */
export function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const key = (label: string) => createHmac('sha256', salted).update(label).digest();
  const stored = createHash('sha256').update(key('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${stored}:${key('Server Key').toString('base64')}`;
}
