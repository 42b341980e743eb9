import { describe, expect, it } from 'vitest';
import { Transaction } from '../../../src/execute/open-transaction.js';
import { RELEASE_SAVEPOINT, SAVEPOINT, UNDO_SAVEPOINT } from '../../../src/postgres/own-statements.js';

type Answer = (error?: Error) => void;

/** A transaction whose server answers when it is told to. */
function open() {
  const sent: string[] = [];
  const waiting: Answer[] = [];
  const answering = (text: string) =>
    new Promise((resolve, reject) => {
      sent.push(text);
      waiting.push((error) => (error === undefined ? resolve({ command: text }) : reject(error)));
    });
  const attempt = {
    run: (_: unknown, { query }: { query: string }) => answering(query),
    ask: async (_: unknown, text: string) => void sent.push(text),
  };
  const transaction = new Transaction(attempt as never, {} as never, false);
  const run = (query: string, signal?: AbortSignal, within = transaction) =>
    within.run({ query, values: undefined, profile: undefined, introduce: undefined } as never, signal);
  const answer = async (error?: Error): Promise<void> => {
    waiting.shift()?.(error);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { transaction, sent, run, answer };
}

describe('an open transaction', () => {
  it('runs what joins one after the other, also after one that failed', async () => {
    const { run, sent, answer } = open();
    const first = run('a');
    const second = run('b');
    expect(sent).toEqual(['a']);
    await answer(new Error('no'));
    await expect(first).rejects.toThrow('no');
    expect(sent).toEqual(['a', 'b']);
    await answer();
    expect(await second).toMatchObject({ command: 'b' });
  });

  it('does not send what was given up before its turn', async () => {
    const { run, sent, answer } = open();
    const first = run('a');
    const controller = new AbortController();
    const second = run('b', controller.signal);
    controller.abort(new Error('enough'));
    await expect(second).rejects.toThrow('enough');
    await answer();
    await first;
    expect(sent).toEqual(['a']);
  });

  it('lets nothing join after its end, and its end waits for what has joined', async () => {
    const { transaction, run, sent, answer } = open();
    const first = run('a');
    let isOver = false;
    const ending = transaction.end()?.then(() => (isOver = true));
    await expect(run('late')).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_ENDED' });
    await expect(transaction.nest(async () => undefined)).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_ENDED' });
    expect(isOver).toBe(false);
    await answer();
    await first;
    await ending;
    expect(sent).toEqual(['a']);
    expect(open().transaction.end()).toBeUndefined();
  });

  it('holds its own statements up while one within it is open', async () => {
    const { transaction, run, sent, answer } = open();
    const nested = transaction.nest((inner) => run('inner', undefined, inner));
    const after = run('after');
    await answer();
    expect(sent).toEqual([SAVEPOINT, 'inner']);
    await answer();
    await nested;
    await answer();
    await after;
    expect(sent).toEqual([SAVEPOINT, 'inner', RELEASE_SAVEPOINT, 'after']);
  });

  it('goes back to before the one within it when that fails', async () => {
    const { transaction, sent } = open();
    await expect(transaction.nest(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(sent).toEqual([SAVEPOINT, UNDO_SAVEPOINT]);
  });

  it.each([
    ['select 1', false],
    ['rollback to savepoint a', false],
    ['commit', true],
    ['select 1; end', true],
    [undefined, true],
  ])('after %s may have ended: %s', (text, mayHave) => {
    const { transaction } = open();
    transaction.sends(text);
    transaction.sends('select 1');
    expect(transaction.mayHaveEnded).toBe(mayHave);
  });

  it('may have ended when one within it has', async () => {
    const { transaction } = open();
    await transaction.nest(async (inner) => inner.sends('commit'));
    expect(transaction.mayHaveEnded).toBe(true);
  });

  it('keeps the last error of what joined as the reason why it cannot commit, and of its client as its last', async () => {
    const { transaction, run, answer } = open();
    const [joined, own] = [new Error('joined'), new Error('own')];
    const running = run('a');
    await answer(joined);
    await expect(running).rejects.toBe(joined);
    transaction.failed(own);
    expect([transaction.failure, transaction.lastError]).toEqual([joined, own]);
  });
});
