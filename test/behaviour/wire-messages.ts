/** PostgreSQL's frames, written by hand: what `played-server.ts` sends, and what lies are made of. */

/** Text that PostgreSQL would send for a column, its type, and its format. */
export interface Column {
  readonly name: string;
  readonly oid: number;
  readonly isBinary?: boolean;
}

export type Field = string | null;

export interface Rows {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Field[])[];
}

export function message(type: string, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

export const ready = message('Z', Buffer.from('I'));

export function described({ columns }: Rows): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(columns.length);
  const fields = columns.map(({ name, oid, isBinary = false }) => {
    const rest = Buffer.alloc(18);
    rest.writeUInt32BE(oid >>> 0, 6);
    rest.writeInt16BE(-1, 10);
    rest.writeInt32BE(-1, 12);
    rest.writeInt16BE(isBinary ? 1 : 0, 16);
    return Buffer.concat([Buffer.from(`${name.replaceAll('\u0000', '')}\u0000`), rest]);
  });
  return message('T', Buffer.concat([count, ...fields]));
}

export function row(fields: readonly (Field | undefined)[]): Buffer {
  const count = Buffer.alloc(2);
  count.writeInt16BE(fields.length);
  const parts = fields.map((field) => {
    const length = Buffer.alloc(4);
    const text = Buffer.from(field ?? '');
    length.writeInt32BE(field === null || field === undefined ? -1 : text.length);
    return Buffer.concat([length, text]);
  });
  return message('D', Buffer.concat([count, ...parts]));
}

export function complete({ rows }: Rows): Buffer {
  return message('C', Buffer.from(`SELECT ${rows.length}\u0000`));
}

export function failure(sqlstate: string): Buffer {
  return message('E', Buffer.from(`SERROR\u0000VERROR\u0000C${sqlstate}\u0000Mno\u0000\u0000`));
}

export function cstring(buffer: Buffer, from: number): string {
  return buffer.toString('utf8', from, buffer.indexOf(0, from));
}
