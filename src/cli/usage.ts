/** What the command understands, and the error for what it does not. */

export const usage = `Usage: pg-ladder <command> [options]

Commands:
  demo             six ways of reading from replicas, side by side on a real cluster
  explain <sql>    what a statement is, which server it would go to, and why;
                   it runs nothing
  changes install  sets up the change stream in a database
  changes remove   takes that back
  changes check    what is missing for the change stream, and what mends it

Options of demo:
  --replicas <n>   replicas beside the primary, 1 to 8 (default 2)
  --seconds <n>    how long each way runs, 1 to 60 (default 6)
  --jitter <ms>    replay on each replica is paused half the time, up to that
                   long at once, 0 to 5000; 0: never (default 300)
  --seed <n>       the users and the pauses are drawn from it (default 1)
  --json           the figures as JSON on stdout
  --svg <file.svg> the figures as two pictures as well: file.svg for light
                   pages, and file-dark.svg beside it for dark ones

Options of explain:
  --url <url>      the servers: postgres://user@host1,host2/database
                   (default: $DATABASE_URL)
  --read-only-function <schema.name>
                   a VOLATILE function that only reads; may be given again
  --json           the answer as JSON

Options of changes:
  --url <url>      the server, or several: the primary is taken
                   (default: $DATABASE_URL)
  --tables <a,b.c> the tables, as they are stored; in schema public unless
                   named; quotes for what holds a dot, a comma or a quote
                   (install, check; check: also all that are published)
  --publication <name>
                   the publication that names the tables (default pg_ladder)
  --notify         triggers that notify, in place of the log (install, check)
  --print          shows the SQL, and runs nothing (install, remove)
  --json           the findings as JSON (check)

  -h, --help       this text
  --version        the version
`;

/** The command line was wrong: the message says what was expected and what came. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
