/** Replicas as the router sees them, without servers: each test sets what it needs to differ. */
import { Load } from '../../../src/routing/load.js';
import { hashOf } from '../../../src/routing/partition.js';
import { type Candidate, type Choice, type Criteria, Router } from '../../../src/routing/route.js';

export type Replica = { -readonly [K in keyof Candidate]: Candidate[K] } & { readonly name: string };

let made = 0;
export const replica = (lsn: bigint | undefined, over: Partial<Candidate> = {}): Replica => {
  const name = `r${++made}`;
  const load = { weight: 1, inFlight: 0, share: 1, responseMillis: 0.3, typicalMillis: 50, capacity: 10 };
  const state = { freshAsOf: 100, steadyAgeMillis: 0, isEjected: false, isStalled: false, isNear: false };
  return { name, hash: hashOf(name), lsn, load: new Load(), ...load, ...state, ...over };
};
export const criteria = (over: Partial<Criteria<Replica>> = {}): Criteria<Replica> => ({
  floor: 0n,
  freshSince: 0,
  maxAgeMillis: 1_000,
  key: undefined,
  spread: 1,
  home: undefined,
  isHomeOfKey: true,
  isBrief: false,
  except: undefined,
  ...over,
});
export const router = () => new Router<Replica>(1.25);
/** The replica, or why there is none. */
export const answerOf = ({ node, why }: Choice<Replica>) => node ?? why;
export const choose = (nodes: readonly Replica[], over: Partial<Criteria<Replica>> = {}) =>
  answerOf(router().choose(nodes, criteria(over)));
