import { describe, expect, it } from 'vitest';
import type { Observation } from '../../../src/nodes/observation.js';
import { elect, type Known, type OnTwoPrimaries, type Voter } from '../../../src/nodes/topology.js';

const CLUSTER = '7';
const believed = { doubt: undefined, isConfirmed: true };
const asked = { wasAsked: true };

function voter(name: string, says: string): Voter {
  if (says === 'unheard') return { name, observation: undefined, probe: { wasAsked: false }, claim: believed };
  if (says === 'silent') return { name, observation: undefined, probe: asked, claim: believed };
  const [role, timeline = '1', cluster = CLUSTER, server = name, trust] = says.split(' ');
  const observation = {
    inRecovery: role === 'replica',
    timeline: Number(timeline),
    identity: { clusterId: cluster, server },
  } as Observation;
  return { name, observation, probe: asked, claim: { ...believed, ...distrust(trust) } };
}

function distrust(trust: string | undefined): Partial<Voter['claim']> {
  return trust === 'doubted' ? { doubt: 'it cannot be' } : { isConfirmed: trust !== 'unconfirmed' };
}

function verdict(
  says: readonly string[],
  known: Partial<Known<Voter>> = {},
  policy: OnTwoPrimaries = 'highestTimeline',
) {
  const voters = says.map((what, i) => voter(`n${i + 1}`, what));
  const all = { primary: voters[0] as Voter, clusterId: CLUSTER, timeline: 1, isOverdue: false, ...known };
  const found = elect(voters, all, policy);
  if (found.is === 'settled') return found.primary.name;
  return found.is === 'contested' ? found.between.map(({ name }) => name).join(' and ') : found.is;
}

const first: Partial<Known<Voter>> = { clusterId: undefined, timeline: 0 };

describe('the election of the primary', () => {
  it.each([
    ['stays with the one that takes writes', ['primary', 'replica', 'replica'], 'n1'],
    ['finds a promotion', ['silent', 'primary 2', 'replica'], 'n2'],
    ['believes the later timeline of two', ['primary 1', 'primary 2', 'replica'], 'n2'],
    ['names nobody while nobody takes writes', ['silent', 'replica', 'replica'], 'vacant'],
    ['names nobody when the primary has become a replica', ['replica', 'replica', 'replica'], 'vacant'],
    ['refuses to choose on one timeline', ['primary 1', 'primary 1', 'replica'], 'n1 and n2'],
    ['chooses on one timeline once the other is gone', ['silent', 'primary 1', 'replica'], 'n2'],
    ['takes two names of one server for one', ['primary 1 7 same', 'primary 1 7 same', 'replica'], 'n1'],
    ['has no ear for another cluster', ['silent', 'primary 9 8', 'replica'], 'vacant'],
  ])('%s', (_, says, expected) => {
    expect(verdict(says)).toBe(expected);
  });

  it('never goes back to a timeline that was left, also while the promoted server is silent', () => {
    expect(verdict(['primary 1', 'silent', 'replica'], { timeline: 2 })).toBe('vacant');
  });

  it.each<OnTwoPrimaries>(['highestTimeline', 'refuse'])(
    'has no ear for one that is not believed, nor for its timeline, whatever is to be done about two: %s',
    (policy) => {
      expect(verdict(['primary 1', 'primary 9 7 liar doubted'], {}, policy)).toBe('n1');
      expect(verdict(['primary 1', 'primary 1 7 liar doubted'], {}, policy)).toBe('n1');
      expect(verdict(['silent', 'primary 9 7 liar doubted', 'replica'], {}, policy)).toBe('vacant');
      expect(verdict(['silent', 'primary 9 7 liar doubted'], first, policy)).toBe('vacant');
    },
  );

  it('waits for the second word of one that would win, and goes on with the primary until then', () => {
    expect(verdict(['primary 1', 'primary 2 7 new unconfirmed'])).toBe('n1');
    expect(verdict(['silent', 'primary 2 7 new unconfirmed'])).toBe('vacant');
    expect(verdict(['silent', 'primary 1 7 new unconfirmed'])).toBe('vacant');
  });

  it('refuses two at once, whether or not the other was asked twice', () => {
    expect(verdict(['primary 1', 'primary 1 7 new unconfirmed'])).toBe('n1 and n2');
    expect(verdict(['primary 1', 'primary 2 7 new unconfirmed'], {}, 'refuse')).toBe('n1 and n2');
  });

  it('refuses in either case when told so', () => {
    expect(verdict(['primary 1', 'primary 2'], {}, 'refuse')).toBe('n1 and n2');
    expect(verdict(['silent', 'primary 2'], {}, 'refuse')).toBe('n2');
  });

  it.each([
    ['waits until everybody was asked: the first to answer may be a zombie', ['primary 1', 'unheard'], 'open'],
    ['finds the primary whatever the labels say', ['replica', 'primary 4', 'replica'], 'n2'],
    ['believes the later timeline of two', ['primary 1', 'primary 2'], 'n2'],
    ['finds it when the one with the label is gone', ['silent', 'primary 2', 'replica'], 'n2'],
    [
      'does not take a foreign primary for one when the label belongs to another cluster',
      ['replica', 'primary 1 8'],
      'vacant',
    ],
    [
      'does not choose between clusters when the one with the label is silent',
      ['silent', 'primary 1 8', 'replica'],
      'vacant',
    ],
  ])('at the first time %s', (_, says, expected) => {
    expect(verdict(says, first)).toBe(expected);
  });

  it('does not wait for ever for one that never answers', () => {
    expect(verdict(['primary 1', 'unheard'], { ...first, isOverdue: true })).toBe('n1');
  });
});
