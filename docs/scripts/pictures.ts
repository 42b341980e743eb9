/**
 * Draws the pictures of the docs into docs/public, for light and for dark pages:
 * `npm run pictures`. The demo's picture is drawn by `pg-ladder demo --svg`.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Sheet, type ThemeName } from './sheet.js';

interface Drawn {
  readonly sheet: Sheet;
  readonly height: number;
  readonly title: string;
  readonly description: string;
}

/** Messages between programs, downward in time. */
function staleRead(): Drawn {
  const sheet = new Sheet();
  const [browser, app, primary, replica] = [92, 270, 450, 628] as const;

  const actors = (y: number, end: number) => {
    for (const x of [browser, app, primary, replica]) sheet.path(`M${x} ${y + 40}V${end}`, 'faint');
    sheet.label(browser - 64, y, 128, 'browser').label(app - 64, y, 128, 'app');
    sheet.label(primary - 64, y, 128, 'primary', 'primary').label(replica - 64, y, 128, 'replica', 'replica');
  };

  sheet.text(28, 46, 'Without pg-ladder', 'h1');
  actors(68, 502);
  sheet.text(browser + 10, 146, 'save “Ada”').arrow(browser, 156, app, 156);
  sheet.text(app + 10, 186, 'update').arrow(app, 196, primary, 196);
  sheet.text(app - 10, 226, 'saved', 'end').arrow(app, 236, browser, 236);
  sheet.text(browser + 10, 286, 'reload').arrow(browser, 296, app, 296);
  sheet.text(app + 10, 326, 'select name').arrow(app, 336, replica, 336);
  sheet.text(replica - 10, 366, 'has not replayed it yet', 'end bad halo').arrow(replica, 376, app, 376, 'bad');
  sheet.text(app - 10, 416, 'the old name', 'end b bad').arrow(app, 426, browser, 426, 'bad');
  sheet.text(replica - 10, 476, 'log arrives, late', 'end faint').arrow(primary, 486, replica, 486, 'line', true);
  sheet.text(28, 534, 'The user saved, and sees the old name.', 'bad');

  const y = 562;
  sheet.path(`M28 ${y}H692`, 'faint').text(28, y + 48, 'With pg-ladder', 'h1');
  actors(y + 70, y + 556);
  sheet.text(browser + 10, y + 148, 'save “Ada”').arrow(browser, y + 158, app, y + 158);
  sheet.text(app + 10, y + 188, 'update').arrow(app, y + 198, primary, y + 198);
  sheet.text(app + 10, y + 228, 'LSN 0/30000F0', 'good').arrow(primary, y + 238, app, y + 238, 'good');
  sheet.text(app - 10, y + 268, 'saved + token', 'end good').arrow(app, y + 278, browser, y + 278, 'good');
  sheet.text(browser + 6, y + 328, 'reload + token', 'good').arrow(browser, y + 338, app, y + 338, 'good');
  sheet.text(app + 10, y + 368, 'do you have 0/30000F0?', 'halo').arrow(app, y + 378, replica, y + 378);
  sheet.text(replica - 10, y + 408, 'yes, within 50 ms', 'end good halo').arrow(replica, y + 418, app, y + 418, 'good');
  sheet.text(app + 10, y + 448, 'select name').arrow(app, y + 458, replica, y + 458);
  sheet.text(replica - 10, y + 488, '“Ada”', 'end b good').arrow(replica, y + 498, app, y + 498, 'good');
  sheet.text(app - 10, y + 528, '“Ada”', 'end b good').arrow(app, y + 538, browser, y + 538, 'good');
  sheet.text(28, y + 588, 'Not within 50 ms? Then the primary answers.', 'good');
  return {
    sheet,
    height: y + 616,
    title: 'A stale read, and how pg-ladder avoids it',
    description:
      'Without pg-ladder: the browser saves “Ada”, the app updates the primary, the browser reloads, the app reads from a replica that has not replayed the update, and the user sees the old name. With pg-ladder: the primary says that its log ends at 0/30000F0, the browser gets a token with that position, the reload brings the token, the app asks the replica whether it has replayed that position, and reads “Ada” from it. If the replica does not get there within 50 ms, the primary answers.',
  };
}

/** What a read goes through, from the cheapest answer to the dearest. */
function decision(): Drawn {
  const sheet = new Sheet();
  const rungs = [
    ['Gate', ['Counts and numbers the call.', 'Refuses it after close().']],
    ['Floor', ['What must the answer show?', 'The session’s newest position,', 'data at most 10 s old.']],
    ['Candidates', ['Which replicas are known', 'to have replayed the floor?'], ['balanced', 'affinity', 'partition']],
    ['Ask again', ['Where are the replicas now?'], ['gated']],
    ['Wait', ['Does one get there', 'within 50 ms?'], ['waited']],
  ] as const;
  sheet.text(28, 46, 'Where a read goes', 'h1').text(692, 46, 'reason', 'end faint');
  let y = 72;
  rungs.forEach(([name, words, reasons], index) => {
    const height = 58 + words.length * 25;
    sheet
      .box(28, y, 370, height)
      .step(56, y + 30, index + 1)
      .text(82, y + 37, name, 'b');
    sheet.lines(82, y + 66, words);
    if (reasons !== undefined) {
      const middle = y + height / 2;
      sheet.text(406, middle - 10, 'yes', 'good').arrow(398, middle, 456, middle, 'good');
      sheet.label(456, middle - 20, 110, 'replica', 'replica');
      sheet.lines(692, middle + 7 - (reasons.length - 1) * 12, reasons, 'end code good', 24);
      sheet.text(226, y + height + 25, 'none', 'faint');
    }
    sheet.arrow(213, y + height, 213, y + height + 36);
    y += height + 36;
  });
  sheet
    .box(28, y, 664, 108, 'primary')
    .step(56, y + 30, rungs.length + 1)
    .text(82, y + 37, 'Primary', 'b');
  sheet.lines(82, y + 66, ['It has every write. Reads take turns there,', 'which leaves room for writes.']);
  sheet.text(676, y + 37, 'behind-floor, too-stale', 'end code');
  return {
    sheet,
    height: y + 136,
    title: 'What a read goes through',
    description:
      'Six steps. 1, gate: the call is counted and numbered, or refused after close(). 2, floor: the newest position of the session, and an age of at most 10 seconds, are what the answer must show. 3, candidates: a replica that is known to have replayed the floor answers, with reason balanced, affinity or partition. 4, ask again: the replicas are asked where they are now; one that is far enough answers, with reason gated. 5, wait: one that gets there within 50 milliseconds answers, with reason waited. 6, primary: it has every write, and reads take turns there; reason behind-floor or too-stale.',
  };
}

/** How a kept answer stays current. */
function changeStream(): Drawn {
  const sheet = new Sheet();
  sheet.text(28, 46, 'How a kept answer stays current', 'h1');
  sheet.box(28, 72, 316, 108, 'primary').text(44, 109, 'primary', 'b').text(328, 109, 'log', 'end code');
  sheet.lines(44, 138, ['writes the log: which rows', 'of which tables changed']);
  sheet.box(376, 72, 316, 108, 'replica').text(392, 109, 'replica', 'b').text(676, 109, 'catalogue', 'end code');
  sheet.lines(392, 138, ['shows what is defined:', 'tables, rights, functions']);
  sheet.arrow(186, 180, 186, 228, 'good').text(200, 213, 'each commit', 'good');
  sheet.arrow(534, 180, 534, 228, 'good').text(548, 213, 'stamps', 'good');
  sheet
    .box(28, 228, 664, 133)
    .text(44, 265, 'in your process', 'b')
    .text(676, 265, 'some numbers a table', 'end faint');
  sheet.lines(44, 294, ['last change of products', 'last change of user 42']);
  sheet.lines(310, 294, ['0/5000', '0/3000'], 'code').text(44, 346, 'all is known up to', 'good');
  sheet.text(310, 346, '0/9000', 'code good');
  sheet.arrow(360, 361, 360, 409);
  sheet.box(28, 409, 664, 108).text(44, 446, 'a kept answer: user 42, read at 0/4000', 'b');
  sheet.lines(
    44,
    475,
    ['0/3000 is before 0/4000: the answer still holds.', 'So it is as good as one read at 0/9000.'],
    'good',
  );
  return {
    sheet,
    height: 545,
    title: 'How a kept answer stays current',
    description:
      'The primary writes into its log which rows of which tables changed, and each commit reaches your process. A replica shows by stamps whether tables, rights and functions are as they were. Your process holds some numbers a table: products changed last at 0/5000, the user 42 at 0/3000, and all is known up to 0/9000. A kept answer about user 42 was read at 0/4000. Its last change, 0/3000, is before that, so the answer still holds, and is as good as one that is read at 0/9000.',
  };
}

/** All places that can answer, the cheapest first. */
function ladder(): Drawn {
  const sheet = new Sheet();
  const rungs = [
    ['memory', 'plain', ['Answers that this process has kept,', 'each at its replica’s position.'], 'some 2 µs a row'],
    ['shared', 'plain', ['Answers in Redis, for all processes.'], 'at most 5 ms'],
    ['replica', 'replica', ['A replica, at what it has replayed.'], 'a round trip'],
    ['primary', 'primary', ['It has every write. Reads take turns.'], 'time that writes need'],
  ] as const;
  sheet.text(28, 46, 'The ladder of a read', 'h1').text(692, 46, 'what it costs', 'end faint');
  let y = 72;
  rungs.forEach(([name, ground, words, cost], index) => {
    const height = 58 + words.length * 25;
    sheet
      .box(28, y, 664, height, ground)
      .step(56, y + 30, index + 1)
      .text(82, y + 37, name, 'b')
      .text(676, y + 37, cost, 'end faint');
    sheet.lines(82, y + 66, words);
    y += height;
    if (index === rungs.length - 1) return;
    sheet.arrow(213, y, 213, y + 36).text(232, y + 25, 'not fresh enough, or not there', 'faint');
    y += 36;
  });
  sheet.text(28, y + 36, 'Fresh enough: it shows the session’s floor,', 'good');
  sheet.text(28, y + 61, 'and is no older than the read accepts.', 'good');
  return {
    sheet,
    height: y + 84,
    title: 'The ladder of a read: memory, shared, replica, primary',
    description:
      'Four places can answer a read, the cheapest first. 1, memory: answers that this process has kept, each at the position of its replica; some 2 microseconds a row. 2, shared: answers in Redis, for all processes; at most 5 milliseconds. 3, replica: a replica at what it has replayed; a round trip. 4, primary: it has every write, and reads take turns there. A place that is not fresh enough, or holds no answer, leaves the read to the next one. Fresh enough means: it shows the session’s floor, and is no older than the read accepts.',
  };
}

/** One position, from the process that wrote to the one that reads. */
function tokenJourney(): Drawn {
  const sheet = new Sheet();
  const [left, right] = [28, 512] as const;
  sheet.text(28, 46, 'How a token travels', 'h1');

  sheet.box(left, 72, 360, 206).text(left + 18, 104, 'Process 1', 'b');
  sheet.step(left + 32, 144, 1).text(left + 60, 151, 'writes');
  sheet.step(left + 32, 192, 2).text(left + 60, 199, 'asks where the log ends');
  sheet.step(left + 32, 240, 3).text(left + 60, 247, 'makes a token of it');
  sheet.box(right, 72, 180, 206, 'primary').text(right + 90, 104, 'primary', 'b mid');
  sheet.text(right - 8, 134, 'update', 'end').arrow(left + 360, 144, right, 144);
  sheet.text(right - 8, 182, '0/30000F0', 'end good').arrow(right, 192, left + 360, 192, 'good');
  sheet.lines(right + 90, 222, ['log ends at', '0/30000F0'], 'mid');

  sheet.arrow(left + 180, 278, left + 180, 338, 'good');
  sheet.text(left + 196, 314, 'Set-Cookie: pg-ladder=2…', 'code good');
  sheet
    .box(left, 338, 360, 82)
    .text(left + 18, 372, 'Browser', 'b')
    .text(left + 18, 402, 'keeps the token for 60 s');
  sheet.text(right - 108, 372, 'The token: cluster,', 'faint').text(right - 108, 397, 'timeline, LSN, time', 'faint');
  sheet.arrow(left + 180, 420, left + 180, 480, 'good');
  sheet.text(left + 196, 456, 'Cookie: pg-ladder=2…', 'code good');

  sheet.box(left, 480, 360, 206).text(left + 18, 512, 'Process 2', 'b');
  sheet.step(left + 32, 552, 4).text(left + 60, 559, 'floor = 0/30000F0', 'good');
  sheet.step(left + 32, 600, 5).text(left + 60, 607, 'r1 is behind: not read', 'bad');
  sheet.step(left + 32, 648, 6).text(left + 60, 655, 'r2 has it: read there', 'good');
  sheet.box(right, 480, 180, 96, 'replica').text(right + 90, 512, 'replica r1', 'b mid');
  sheet.text(right + 90, 544, 'at 0/3000028', 'mid bad');
  sheet.box(right, 590, 180, 96, 'replica').text(right + 90, 622, 'replica r2', 'b mid');
  sheet.text(right + 90, 654, 'at 0/3000128', 'mid good');
  sheet.path(`M${left + 360} 600L${left + 420} 552H${left + 440}`, 'bad', true);
  sheet.path(`M${left + 434} 544l14 16m0 -16l-14 16`, 'bad');
  sheet.text(right - 8, 638, 'select', 'end').arrow(left + 360, 648, right, 648, 'good');
  return {
    sheet,
    height: 714,
    title: 'The journey of a token',
    description:
      'Process 1 writes on the primary, asks where the log ends (0/30000F0) and puts that position into a token. The response sets it as a cookie, which the browser keeps for 60 seconds. The token holds the cluster, the timeline, the LSN and the time it was made. The next request meets process 2 and brings the cookie. Process 2 takes 0/30000F0 as the floor. Replica r1 is at 0/3000028, which is behind, and is not read. Replica r2 is at 0/3000128 and is read.',
  };
}

/** A promotion, downward in time. */
function failover(): Drawn {
  const sheet = new Sheet();
  const moments = [
    [
      'The primary fails',
      'bad',
      [
        'Writes that were sent get',
        'LADDER_WRITE_OUTCOME_UNKNOWN.',
        'Reads under way there run again elsewhere, once.',
      ],
    ],
    [
      'No server takes writes',
      'bad',
      [
        'Reads that a replica can serve go on.',
        'Writes and the other reads wait, up to 10 s by',
        'default, and then get LADDER_NO_PRIMARY.',
      ],
    ],
    [
      'Replica r1 is promoted: timeline 2',
      'good',
      [
        'pg-ladder sees it by the next probe, by what r1',
        'pushes on a connection, or by a write that the',
        'old primary refuses. Then what waits goes to r1.',
      ],
    ],
    [
      'r2 follows timeline 2',
      'good',
      ['Reads go to r2 again. A replica that has left', 'the common history is never read.'],
    ],
    [
      'Was a write of yours lost?',
      'line',
      ['One that r1 has is never missed. For one that it', 'has not, you get a tokenLost event; no read waits.'],
    ],
    [
      'The old primary comes back',
      'line',
      ['As a replica: it gets reads. Still on timeline 1,', 'as a primary: it gets nothing.'],
    ],
  ] as const;
  sheet.text(28, 46, 'A failover, as your statements see it', 'h1');
  let y = 92;
  const marks: string[] = [];
  moments.forEach(([name, kind, words], index) => {
    const height = 50 + words.length * 25 + 4;
    if (index < moments.length - 1) sheet.path(`M48 ${y}V${y + height + 14}`, kind === 'bad' ? 'bad' : 'good');
    sheet.dot(48, y, 10, kind).text(78, y + 7, name, 'b');
    sheet.lines(78, y + 38, words);
    marks.push(`${name}: ${words.join(' ')}`);
    y += height + 14;
  });
  return { sheet, height: y - 24, title: 'A failover as a time line', description: marks.join(' ') };
}

/** What connections one process has to one server. */
function lanes(): Drawn {
  const sheet = new Sheet();
  sheet.text(28, 46, 'One process, one server: its connections', 'h1');
  sheet.box(574, 72, 118, 520, 'replica').lines(633, 322, ['a server:', 'primary', 'or replica'], 'mid b');
  const rooms = [
    ['Pool', 'up to 10 (max)', ['One statement at a time:', 'writes, transactions,', 'slow and new reads.'], 4],
    ['Control', '1', ['pg-ladder’s own questions:', 'who is primary, how far', 'has it replayed?'], 1],
    ['Lane', '1, or 2 from 4 cores', ['Many short reads at once,', 'pipelined: up to 128', 'on each connection.'], 1],
  ] as const;
  rooms.forEach(([name, size, words, count], index) => {
    const y = 72 + index * 180;
    sheet
      .box(28, y, 330, 160)
      .text(46, y + 36, name, 'b')
      .text(342, y + 36, size, 'end faint');
    sheet.lines(46, y + 72, words);
    for (let line = 0; line < count; line++) {
      const at = y + 80 + (line - (count - 1) / 2) * 34;
      sheet.path(`M358 ${at}H574`, name === 'Lane' ? 'good' : 'line', name === 'Control');
      if (name === 'Pool') sheet.dot(408 + ((line * 67) % 130), at, 7);
      if (name === 'Control') sheet.dot(466, at, 7);
      if (name === 'Lane') for (let x = 386; x <= 550; x += 23.4) sheet.dot(x, at, 7, 'good');
    }
  });
  sheet.text(28, 632, 'A dot is a statement under way.', 'faint');
  sheet.lines(28, 668, ['processes × (pool + control + lane) must fit', 'the server’s max_connections.'], 'b');
  return {
    sheet,
    height: 720,
    title: 'The connections of a process to each server',
    description:
      'A process has three kinds of connections to each server, primary or replica. The pool: up to 10 connections (max), one statement at a time on each, for writes, transactions, slow and new reads. Control: one connection for pg-ladder’s own questions, such as who is primary and how far a replica has replayed. The lane: one connection, or two from four cores on, with many short reads at once, pipelined, up to 128 on each connection. Processes times the sum of pool, control and lane must fit max_connections of the server.',
  };
}

const pictures: Record<string, () => Drawn> = {
  'stale-read': staleRead,
  decision,
  ladder,
  'change-stream': changeStream,
  'token-journey': tokenJourney,
  failover,
  lanes,
};

/** @returns the text of each file of docs/public, by its name */
export function drawAll(): Map<string, string> {
  const files = new Map<string, string>();
  for (const [name, draw] of Object.entries(pictures)) {
    const { sheet, height, title, description } = draw();
    for (const [theme, ending] of Object.entries({ light: '', dark: '-dark' } satisfies Record<ThemeName, string>)) {
      files.set(`${name}${ending}.svg`, sheet.draw(theme as ThemeName, height, title, description));
    }
  }
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, text] of drawAll()) writeFileSync(new URL(`../public/${name}`, import.meta.url), text);
}
