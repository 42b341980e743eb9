import { type Answer, type Asked, honest, isOwn, type Said } from '../behaviour/played-server.js';
import { type Column, described, type Field, message, type Rows, row } from '../behaviour/wire-messages.js';
import { Random } from '../simulation/random.js';

const NUMBERS = [
  '0',
  '-1',
  '1',
  '2',
  '3',
  '7',
  '4294967295',
  '2147483648',
  '-2147483648',
  '99999999999999999999',
  '1e309',
  'NaN',
  'Infinity',
  '0x10',
  '',
];
const LSNS = [
  '0/0',
  '0/1',
  '0/3000028',
  '0/5000000',
  'FFFFFFFF/FFFFFFFF',
  '1/0',
  '0/100000000',
  '-1/0',
  'x',
  '',
  '0/5000000/0',
];
const FILES = [
  '0000000100000000000000',
  'FFFFFFFF0000000000000001',
  '000000000000000000000001',
  '00000002',
  '000000020000000000000001',
  'zzzzzzzz0000000000000001',
  '-0000001',
  '',
];
const OIDS = [16, 17, 20, 23, 25, 114, 600, 1009, 1184, 3802, 0, 4_294_967_295];

/** An answer that is a lie in one place or several, or none at all. */
export class Liar {
  readonly #random: Random;
  /** How much of what it answers is true: who lies always is never listened to. */
  readonly #honesty: number;
  readonly #real: () => Said;

  constructor(seed: number, honesty: number, real: () => Said) {
    this.#random = new Random(seed);
    this.#honesty = honesty;
    this.#real = real;
  }

  answer(text: string, { pid, isUsers }: Asked): Answer | undefined {
    const random = this.#random;
    if (!isOwn(text)) return { columns: [{ name: 'v', oid: 25 }], rows: [['liar']] };
    if (random.chance(this.#honesty)) return honest(text, this.said(), pid);
    const answer = honest(text, this.said(), pid) as Rows;
    const kind = random.pick([
      'field',
      'field',
      'field',
      'field',
      'shape',
      'shape',
      'frame',
      'error',
      'close',
      'long',
      'hang',
    ] as const);
    switch (kind) {
      case 'field':
        return this.#withOddField(answer);
      case 'shape':
        return this.#withOddShape(answer);
      case 'frame':
        // What pg's parser makes of these on a connection of the user's is pg's own.
        return isUsers ? answer : this.oddFrame(answer);
      case 'error':
        return { sqlstate: random.pick(['57P01', 'XX000', '42501', '0A001', '53300', '25006', '40001']) };
      case 'long':
        return random.chance(0.02)
          ? this.#withField(answer, 'x'.repeat(10 * 2 ** 20))
          : this.#withField(answer, '9'.repeat(50_000));
      case 'hang':
        return random.chance(0.03) ? 'hang' : 'close';
      default:
        return 'close';
    }
  }

  /** What would be plausible, more or less. */
  said(): Said {
    const random = this.#random;
    const real = this.#real();
    const startedAt = random.chance(0.9)
      ? real.startedAt
      : String(1_700_000_000_000_000 + Math.floor(random.next() * 1_000));
    return {
      clusterId: random.chance(0.97) ? real.clusterId : '7',
      startedAt,
      inRecovery: random.chance(0.8),
      timeline: random.chance(0.8) ? real.timeline : random.pick([1, 2, 3, 9, 100, 4_294_967_295]),
      lsn: random.chance(0.7) ? real.lsn : random.pick(LSNS),
      forkLsn: random.chance(0.5) ? real.lsn : random.pick([null, ...LSNS]),
    };
  }

  #withOddField(answer: Rows): Rows {
    return this.#withField(
      answer,
      this.#random.pick([null, ...NUMBERS, ...LSNS, ...FILES, 't', 'f', 'true', '{', '{1,2}', '\u0000']),
    );
  }

  #withField(answer: Rows, value: Field): Rows {
    const at = Math.floor(this.#random.next() * answer.columns.length);
    return { ...answer, rows: answer.rows.map((fields) => fields.map((field, i) => (i === at ? value : field))) };
  }

  #withOddShape({ columns, rows }: Rows): Rows {
    const random = this.#random;
    const [first = []] = rows;
    const odd = (column: Column): Column => ({ ...column, oid: random.pick(OIDS), isBinary: random.chance(0.2) });
    return random.pick<() => Rows>([
      () => ({ columns, rows: [] }),
      () => ({ columns: [], rows: [[]] }),
      () => ({ columns, rows: [first, first] }),
      () => ({ columns, rows: Array.from({ length: 1_000 }, () => first) }),
      () => ({ columns: columns.slice(1), rows }),
      () => ({ columns, rows: [first.slice(1)] }),
      () => ({ columns, rows: [[...first, ...first]] }),
      () => ({ columns: columns.map(odd), rows }),
      () => ({
        columns: columns.map((column) => ({
          ...column,
          name: random.pick(['__proto__', 'constructor', '', column.name]),
        })),
        rows,
      }),
      () => ({ columns: columns.toReversed(), rows }),
    ])();
  }

  oddFrame(answer: Rows): Buffer {
    const random = this.#random;
    const bytes = Buffer.concat([described(answer), ...answer.rows.map(row)]);
    const count = Buffer.alloc(2);
    count.writeInt16BE(random.pick([-1, 32_767, 3]));
    const long = Buffer.from('D\u007f\u007f\u007f\u007f');
    return random.pick<() => Buffer>([
      () => message('R', Buffer.from([0, 0, 0, 7])),
      () => message('E', Buffer.from('SERROR\u0000C57P01')),
      () => message('N', Buffer.from('x')),
      () => message('T', count),
      () => message('D', count),
      () => Buffer.from([68, 0, 0, 0, 0, 1, 2, 3]),
      () => Buffer.concat([long, Buffer.alloc(100_000)]),
      () => message(random.pick(['?', '!', 'z', 'G', 'W', 'd', 's', 'A', 'K', 'v']), Buffer.from([0, 0, 0, 1])),
      () => bytes.subarray(0, Math.floor(random.next() * bytes.length)),
      () => {
        const broken = Buffer.from(bytes);
        for (let i = 0; i < 3; i++) broken[Math.floor(random.next() * broken.length)] = Math.floor(random.next() * 256);
        return broken;
      },
    ])();
  }
}
