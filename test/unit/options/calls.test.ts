import { describe, expect, it } from 'vitest';
import { dnsDiscovery, patroniDiscovery } from '../../../src/discovery/index.js';
import { checkOptions } from '../../../src/options/calls.js';

describe('an unknown option of a call', () => {
  it.each([
    ['read', { consistancy: 'strong' }, 'read: options: unknown option "consistancy", did you mean "consistency"?'],
    ['read', { target: { nod: 'r1' } }, 'unknown option "nod", did you mean "node"?'],
    ['write', { timeout: 5 }, 'write: options: unknown option "timeout", did you mean "timeoutMillis"?'],
    ['query', { partitonKey: 'a' }, 'query: options: unknown option "partitonKey", did you mean "partitionKey"?'],
    ['stream', { batchSize: 5 }, 'stream: options: unknown option "batchSize"'],
    ['stream', { batchRow: 5 }, 'stream: options: unknown option "batchRow", did you mean "batchRows"?'],
    ['transaction', { readonly: true }, 'transaction: options: unknown option "readonly", did you mean "readOnly"?'],
    ['session', { tokne: 'x' }, 'session: options: unknown option "tokne", did you mean "token"?'],
    ['pool', { intend: 'read' }, 'pool: options: unknown option "intend", did you mean "intent"?'],
    ['ready', { timeoutMs: 5 }, 'ready: options: unknown option "timeoutMs", did you mean "timeoutMillis"?'],
  ] as const)('%s: %j', (call, options, message) => {
    expect(() => checkOptions(call, options)).toThrow(message);
  });

  it('of a discovery is told as well', () => {
    expect(() => patroniDiscovery({ url: ['http://h:8008'] } as never)).toThrow('did you mean "urls"?');
    expect(() => dnsDiscovery({ hostnam: 'h' } as never)).toThrow('did you mean "hostname"?');
  });

  it('gives nothing away that is no name', () => {
    const url = 'postgres://app:s3cret@h/shop';
    expect(() => checkOptions('read', { [url]: 1 })).toThrow('read: options: unknown option "…"');
  });
});

describe('what a read asks of caches', () => {
  it.each([true, false, undefined, {}, { maxStalenessMillis: 0 }, { maxStalenessMillis: 2 ** 31 - 1 }, { scope: 'a' }])(
    'may be %j',
    (cache) => expect(() => checkOptions('read', { cache } as never)).not.toThrow(),
  );

  it.each([
    ['null', { cache: null }],
    ['a word', { cache: 'yes' }],
    ['a number', { cache: 1 }],
    ['a list', { cache: [] }],
    ['an unknown option', { cache: { maxStaleness: 5 } }],
    ['an unknown option beside a right one', { cache: { maxStalenessMillis: 5, tag: 'a' } }],
    ['an unknown option beside it', { cache: true, chache: true }],
    ['a negative age', { cache: { maxStalenessMillis: -1 } }],
    ['an age that is no number', { cache: { maxStalenessMillis: Number.NaN } }],
    ['an age without end', { cache: { maxStalenessMillis: Number.POSITIVE_INFINITY } }],
    ['an age as text', { cache: { maxStalenessMillis: '5' } }],
  ])('is refused where it is %s', (_, options) => {
    for (const call of ['read', 'query'] as const)
      expect(() => checkOptions(call, options as never)).toThrow(/options|cache/);
  });

  it('is no option of writes', () => {
    expect(() => checkOptions('write', { cache: true })).toThrow('unknown option "cache"');
  });
});
