/** What a discovery asks, on this machine: a name server and a Patroni, whose answers a test changes while they run. */
import { createSocket } from 'node:dgram';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import dnsPacket, { type Answer, type Question, type SrvData } from 'dns-packet';

/** How a name server fails: with an answer of that code, or with none. */
export type DnsFailure = 'NXDOMAIN' | 'SERVFAIL' | 'REFUSED' | 'silence';

const RESPONSE_CODES = { SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 };

export interface DnsServer extends AsyncDisposable {
  /** `127.0.0.1:<port>`, as `setServers` takes it. */
  readonly address: string;
  /** What was asked, in order. */
  readonly questions: Question[];
  /** Until it is `undefined` again, this is what everybody gets. */
  failure: DnsFailure | undefined;
  /** How many questions get no answer before it answers again. */
  lostCount: number;
  /** The addresses of a name from now on; none: the name is there, and has no such records. */
  addresses(name: string, type: 'A' | 'AAAA', ...addresses: string[]): void;
  services(name: string, ...records: SrvData[]): void;
  /** The name is another name of `target`. */
  alias(name: string, target: string): void;
}

/** Names that it was not told are NXDOMAIN. */
export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const records = new Map<string, Answer[]>();
  const put = (name: string, type: string, answers: Answer[]): void => {
    const others = (records.get(name) ?? []).filter((answer) => answer.type !== type);
    records.set(name, [...others, ...answers]);
  };
  const answersTo = ({ name, type }: Question): Answer[] | undefined => {
    const all = records.get(name.toLowerCase());
    return all?.flatMap((answer) => {
      if (answer.type === 'CNAME') return [answer, ...(answersTo({ name: String(answer.data), type }) ?? [])];
      return answer.type === type ? [answer] : [];
    });
  };
  const server = {
    questions: [] as Question[],
    failure: undefined as DnsFailure | undefined,
    lostCount: 0,
  };

  socket.on('message', (message, { address, port }) => {
    const { id, questions = [] } = dnsPacket.decode(message);
    const [question] = questions;
    if (question === undefined) return;
    server.questions.push(question);
    if (server.failure === 'silence' || server.lostCount-- > 0) return;
    const answers = answersTo(question);
    const failure = server.failure ?? (answers === undefined ? 'NXDOMAIN' : undefined);
    const code = failure === undefined ? 0 : RESPONSE_CODES[failure];
    const flags = dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | code;
    socket.send(
      dnsPacket.encode({ id: id ?? 0, type: 'response', flags, questions, answers: failure ? [] : (answers ?? []) }),
      port,
      address,
    );
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));

  return Object.assign(server, {
    address: `127.0.0.1:${socket.address().port}`,
    addresses: (name: string, type: 'A' | 'AAAA', ...addresses: string[]) =>
      put(
        name,
        type,
        addresses.map((data) => ({ name, type, ttl: 300, data })),
      ),
    services: (name: string, ...all: SrvData[]) =>
      put(
        name,
        'SRV',
        all.map((data) => ({ name, type: 'SRV', ttl: 300, data })),
      ),
    alias: (name: string, data: string) => put(name, 'CNAME', [{ name, type: 'CNAME', ttl: 300, data }]),
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  });
}

/** A member as `GET /cluster` tells of it: Patroni's documentation, REST API, cluster status endpoints. */
export interface PatroniMember {
  name: string;
  role: string;
  state: string;
  api_url?: string;
  host?: string;
  port?: number;
  timeline?: number;
  lag?: number | 'unknown';
  tags?: Record<string, unknown>;
}

/** How a Patroni fails: with a status, with a body that is not its own, with no answer, or with one that stops midway or never ends. */
export type PatroniFailure =
  | { status: number }
  | { body: string }
  | { redirect: string }
  | 'silence'
  | 'half'
  | 'endless';

export interface PatroniServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** What was asked, in order. */
  readonly requests: { readonly path: string; readonly headers: IncomingMessage['headers'] }[];
  members: PatroniMember[];
  failure: PatroniFailure | undefined;
  /** Requests whose answer has not ended, and that nobody has ended either. */
  readonly openCount: number;
}

export async function startPatroniServer(...members: PatroniMember[]): Promise<PatroniServer> {
  const state = {
    requests: [] as PatroniServer['requests'][number][],
    members,
    failure: undefined as PatroniFailure | undefined,
  };
  let openCount = 0;
  const server = createServer((request, response) => {
    const { failure } = state;
    state.requests.push({ path: request.url ?? '', headers: request.headers });
    openCount++;
    response.on('close', () => openCount--);
    const text = JSON.stringify({
      members: state.members,
      scope: 'demo',
      scheduled_switchover: { at: '2026-11-21T10:36:00+02:00', from: 'patroni1', to: 'patroni3' },
    });
    if (failure === 'silence') return;
    response.setHeader('content-type', 'application/json');
    if (failure === 'half') {
      response.write(text.slice(0, text.length / 2));
    } else if (failure === 'endless') {
      const more = (): void => {
        while (!response.destroyed && response.write(' '.repeat(65_536)));
      };
      response.on('drain', more);
      more();
    } else if (failure !== undefined && 'redirect' in failure) {
      response.writeHead(307, { location: failure.redirect }).end();
    } else if (failure !== undefined && 'status' in failure) {
      response.writeHead(failure.status).end(text);
    } else if (failure !== undefined) {
      response.end(failure.body);
    } else if (request.url?.endsWith('/cluster')) {
      response.end(text);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const own = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const opened = { get: () => openCount, enumerable: true };
  return Object.defineProperty(Object.assign(state, own), 'openCount', opened) as typeof state &
    typeof own &
    PatroniServer;
}

/** Who answers as PostgreSQL does as far as to be told a password in the clear. */
export interface Eavesdropper extends AsyncDisposable {
  readonly port: number;
  /** How many have connected. */
  readonly connectionCount: number;
  /** What they have said after they were asked for their password. */
  readonly heard: readonly string[];
}

const SSL_REQUEST = 80_877_103;

export async function startEavesdropper(): Promise<Eavesdropper> {
  const heard: string[] = [];
  const state = { connectionCount: 0 };
  const server = createTcpServer((socket) => {
    state.connectionCount++;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      if (data[0] === 'p'.charCodeAt(0)) {
        heard.push(data.subarray(5).toString());
        socket.destroy();
      } else if (data.length < 8) socket.destroy();
      else if (data.readUInt32BE(4) === SSL_REQUEST) socket.write('N');
      // AuthenticationCleartextPassword
      else socket.write(Buffer.from('R\0\0\0\u0008\0\0\0\u0003'));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get connectionCount() {
      return state.connectionCount;
    },
    heard,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

/** A member that is up, with all that Patroni tells of it. */
export function member(name: string, host: string, more: Partial<PatroniMember> = {}): PatroniMember {
  return {
    name,
    role: 'replica',
    state: 'streaming',
    api_url: `http://${host}:8008/patroni`,
    host,
    port: 5432,
    timeline: 5,
    lag: 0,
    tags: { clonefrom: true },
    ...more,
  };
}
