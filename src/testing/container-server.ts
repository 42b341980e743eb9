// PostgreSQL servers in containers, by way of testcontainers (imported only when it is asked for).
// The same seam as for local processes: docker kill, pause and start take the place of signals.
// Never builds an image.
import type { ContainerRuntimeClient, StartedNetwork, StartedTestContainer } from 'testcontainers';
import { connect, until } from './control.js';
import { formatSettings, INITDB_FLAGS } from './data-directory.js';
import { TestBackendError } from './error.js';
import { newPassword, scramVerifier } from './password.js';
import { type Backend, conninfo, type Fleet, lastLines, type Server, type ServerPlan } from './server.js';

/** What Docker's own interface offers beyond testcontainers': kill, pause and start. */
type DockerContainer = ReturnType<ContainerRuntimeClient['container']['getById']>;

const DEFAULT_MAJOR = 18;
const START_TIMEOUT_MILLIS = 60_000;
const CONTAINER_PORT = 5432;

// Runs at each start of a container. The first time the primary makes its data and a replica copies
// the primary's; a file /upstream orders a fresh copy. The data lies in the container's own layer,
// so it goes when that goes.
const ENTRYPOINT = `
set -e
export PGDATA=/pgdata
mkdir -p "$PGDATA" && chown postgres "$PGDATA" && chmod 700 "$PGDATA"
copy_from() {
  find "$PGDATA" -mindepth 1 -delete
  until gosu postgres pg_basebackup -h "$1" -U postgres -D "$PGDATA" -X stream -c fast; do
    find "$PGDATA" -mindepth 1 -delete
    sleep 0.2
  done
  gosu postgres touch "$PGDATA/standby.signal"
}
if [ -f /upstream ]; then
  cp "$PGDATA/postgresql.auto.conf" /own.conf
  copy_from "$(cat /upstream)"
  cat /own.conf > "$PGDATA/postgresql.auto.conf"
  printf "primary_conninfo = 'host=%s port=${CONTAINER_PORT} user=postgres password=%s application_name=%s'\\n" "$(cat /upstream)" "$PGPASSWORD" "$NAME" \\
    >> "$PGDATA/postgresql.auto.conf"
  rm /upstream
elif [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -n "$UPSTREAM" ]; then
    copy_from "$UPSTREAM"
  else
    printf '%s' "$VERIFIER" > /verifier && chown postgres /verifier
    gosu postgres initdb ${INITDB_FLAGS.join(' ')} --pwfile=/verifier -D "$PGDATA"
    printf 'host all all all scram-sha-256\\nhost replication all all scram-sha-256\\n' >> "$PGDATA/pg_hba.conf"
    printf "include_if_exists 'pg-ladder.conf'\\n" >> "$PGDATA/postgresql.conf"
  fi
fi
printf '%s' "$SETTINGS" > "$PGDATA/pg-ladder.conf"
exec gosu postgres postgres -D "$PGDATA"
`;

/** The backend, if testcontainers is installed and reaches a Docker; never throws. */
export async function containerBackend(major = DEFAULT_MAJOR): Promise<Backend | undefined> {
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    await getContainerRuntimeClient();
  } catch {
    return undefined;
  }
  return { name: 'testcontainers', version: String(major), launch: (plans) => launch(`postgres:${major}`, plans) };
}

async function launch(image: string, plans: readonly ServerPlan[]): Promise<Fleet> {
  const { GenericContainer, getContainerRuntimeClient, Network, RandomPortGenerator, Wait } = await import(
    'testcontainers'
  );
  const runtime = await getContainerRuntimeClient();
  const network = await new Network().start();
  const upstream = plans[0]?.name ?? '';
  const password = newPassword();
  const secrets = { PGPASSWORD: password, VERIFIER: scramVerifier(password) };
  const launched = await Promise.allSettled(
    plans.map(async (plan, index) => {
      // A port that Docker chose would change with each start.
      const port = await new RandomPortGenerator().generatePort();
      const primaryConninfo = { primary_conninfo: conninfo(upstream, CONTAINER_PORT, plan.name, password) };
      const settings = { ...plan.settings, ...(index > 0 ? primaryConninfo : {}), listen_addresses: '*' };
      const container = await new GenericContainer(image)
        .withNetwork(network)
        .withNetworkAliases(plan.name)
        .withExposedPorts({ container: CONTAINER_PORT, host: port })
        .withEntrypoint(['bash', '-c', ENTRYPOINT])
        .withEnvironment({
          ...secrets,
          NAME: plan.name,
          UPSTREAM: index > 0 ? upstream : '',
          SETTINGS: formatSettings(settings),
        })
        .withStartupTimeout(START_TIMEOUT_MILLIS)
        .withWaitStrategy(Wait.forLogMessage(/ready to accept (read-only )?connections/))
        .start();
      return new ContainerServer(plan.name, container, runtime.container.getById(container.getId()), port, password);
    }),
  );
  const servers = launched.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const dispose = () => removeAll(servers, network);
  const failure = launched.find((result) => result.status === 'rejected');
  if (failure === undefined) return { servers, dispose };
  const log = await servers[0]?.log().catch(() => '');
  await dispose();
  throw new TestBackendError(
    'LADDER_TEST_START_FAILED',
    `A container of ${image} did not start (${String(failure.reason)}).${log ? ` ${upstream}:\n  ${lastLines(log)}` : ''}`,
    { cause: failure.reason },
  );
}

async function removeAll(servers: readonly ContainerServer[], network: StartedNetwork): Promise<void> {
  await Promise.allSettled(servers.map((server) => server.remove()));
  await network.stop().catch(() => {}); // its own reaper takes what is left
}

class ContainerServer implements Server {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly password: string;
  readonly peerAddress: { readonly host: string; readonly port: number };
  readonly #started: StartedTestContainer;
  readonly #docker: DockerContainer;
  #running = true;
  #frozen = false;

  constructor(name: string, started: StartedTestContainer, docker: DockerContainer, port: number, password: string) {
    this.password = password;
    this.name = name;
    this.host = started.getHost();
    this.port = port;
    this.peerAddress = { host: name, port: CONTAINER_PORT };
    this.#started = started;
    this.#docker = docker;
  }

  get running(): boolean {
    return this.#running;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  async start(): Promise<void> {
    if (this.#running) return;
    await this.#docker.start();
    this.#running = true;
    const accepts = async () => {
      const connection = await connect(this).catch(() => undefined);
      await connection?.close();
      return connection !== undefined;
    };
    await until(accepts, {
      what: `server ${this.name} to accept connections`,
      timeoutMillis: START_TIMEOUT_MILLIS,
      everyMillis: 50,
    });
  }

  shutdown(): Promise<void> {
    return this.#end('SIGINT');
  }

  kill(): Promise<void> {
    return this.#end('SIGKILL');
  }

  async freeze(): Promise<void> {
    if (!this.#frozen) await this.#docker.pause();
    this.#frozen = true;
  }

  async thaw(): Promise<void> {
    if (this.#frozen) await this.#docker.unpause();
    this.#frozen = false;
  }

  async rebuildFrom(source: Server): Promise<void> {
    await this.shutdown();
    await this.#started.copyContentToContainer([{ content: source.peerAddress.host, target: '/upstream' }]);
  }

  async log(): Promise<string> {
    const frames = await this.#docker.logs({ stdout: true, stderr: true, follow: false });
    // Each frame: the stream's number, three empty bytes, its length, its text.
    let text = '';
    for (let at = 0; at + 8 <= frames.length; ) {
      const end = at + 8 + frames.readUInt32BE(at + 4);
      text += frames.toString('utf8', at + 8, end);
      at = end;
    }
    return text;
  }

  async remove(): Promise<void> {
    await this.thaw();
    this.#running = false;
    await this.#started.stop({ timeout: 0 });
  }

  async #end(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    await this.thaw();
    if (!this.#running) return;
    const ended = this.#docker.wait({ condition: 'not-running' });
    await this.#docker.kill({ signal });
    await ended;
    this.#running = false;
  }
}
