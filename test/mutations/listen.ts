/** Faults in what listeners hear, and in what browsers are sent. */
import type { Mutation } from './mutation.js';

const LISTEN = 'test/behaviour/listen/listen.test.ts';
const FAULTS = 'test/faults/listen.test.ts';
const EVENTS = 'test/unit/http/server-sent-events.test.ts';

export const listen: readonly Mutation[] = [
  {
    name: 'a lost connection is no gap',
    breaks: 'rule 44',
    file: 'src/listen/listening.ts',
    find: "if (this.#lostAt !== undefined) this.#miss('reconnected', this.#lostAt);",
    replace: '',
    tests: [FAULTS],
  },
  {
    name: 'what overflows is dropped in silence',
    breaks: 'rule 44',
    file: 'src/listen/listening.ts',
    find: "this.#miss('overflow', performance.now());",
    replace: 'return;',
    tests: [LISTEN],
  },
  {
    name: 'a hung connection is believed',
    breaks: 'rule 44',
    file: 'src/listen/listeners.ts',
    find: 'await this.#beat(connection);',
    replace: '',
    tests: [FAULTS],
  },
  {
    name: 'it is ready before the server listens',
    breaks: 'rule 44',
    file: 'src/listen/listeners.ts',
    find: 'await connection.ask(listenOn([...this.#asked]));',
    replace: 'void connection.ask(listenOn([...this.#asked])).catch(() => undefined);',
    tests: [FAULTS],
  },
  {
    name: 'each name of a channel is folded',
    breaks: 'rule 44',
    file: 'src/listen/statements.ts',
    find: 'name.replaceAll(',
    replace: 'name.toLowerCase().replaceAll(',
    tests: [LISTEN],
  },
  {
    name: 'it listens through a pooler',
    breaks: 'rule 44',
    file: 'src/listen/listeners.ts',
    find: 'if (isDirect) {',
    replace: 'if (isDirect || node !== undefined) {',
    tests: [LISTEN],
  },
  {
    name: 'an id of any form is passed on',
    breaks: 'rule 45',
    file: 'src/http/server-sent-events.ts',
    find: "typeof given === 'string' && ID.test(given) ? given : undefined",
    replace: "typeof given === 'string' ? given : undefined",
    tests: [EVENTS],
  },
  {
    name: 'a client with a strange id has missed nothing',
    breaks: 'rule 45',
    file: 'src/http/server-sent-events.ts',
    find: '{ missed: state.missed ?? true }',
    replace: '{ missed: state.missed ?? false }',
    tests: [EVENTS],
  },
  {
    name: 'a slow client is sent all',
    breaks: 'rule 45',
    file: 'src/http/server-sent-events.ts',
    find: 'if (!response.write(text)) await drained(response);',
    replace: 'response.write(text);',
    tests: [EVENTS],
  },
  {
    name: 'the watch of a client that has gone goes on',
    breaks: 'rule 45',
    file: 'src/http/server-sent-events.ts',
    find: "const gone = (): void => events.close();\n  response.on('close', gone);",
    replace: "const gone = (): void => undefined;\n  response.on('close', gone);",
    tests: [EVENTS],
  },
];
