/** pg-cursor ships without types: this is what Kysely asks of it. */
declare module 'pg-cursor' {
  import type { PostgresCursorConstructor } from 'kysely';

  const Cursor: PostgresCursorConstructor;
  export = Cursor;
}
