import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/sql/digest.js';
import { GRAMMAR_VERSION, Grammar } from '../../../src/sql/grammar.js';

describe('the digest of a text', () => {
  let grammar: Grammar;
  beforeAll(async () => {
    grammar = await Grammar.load();
  });

  it('begins with the version of the grammar that it was made by', async () => {
    expect(digestOf('select 1', grammar)).toMatch(new RegExp(`^${GRAMMAR_VERSION}:[0-9a-f]{16}$`));
    const { default: load } = await import('libpg-query/wasm/libpg-query.js');
    const module = await load({ print: () => undefined, printErr: () => undefined });
    const at = module._malloc(16);
    module.HEAPU8.set(Buffer.from('select 1\0'), at);
    const tree = module.UTF8ToString(module.getValue(module._wasm_parse_query_raw(at), 'i32'));
    expect(Math.floor(JSON.parse(tree).version / 10_000)).toBe(GRAMMAR_VERSION);
  });

  it('is equal for texts that differ in their constants only, and for no others', () => {
    expect(digestOf('select * from t where id = 1', grammar)).toBe(digestOf('select * from t where id = 2', grammar));
    expect(digestOf('select * from t', grammar)).not.toBe(digestOf('select * from u', grammar));
  });

  it('is made of the text itself where the grammar cannot read it', () => {
    expect(digestOf('selekt 1', grammar)).not.toBe(digestOf('selekt 2', grammar));
    expect(digestOf('selekt 1', new Grammar())).toMatch(/^18:[0-9a-f]{16}$/);
  });
});
