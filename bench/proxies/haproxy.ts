/** HAProxy: an entry for writes, to the primary, and one for reads, to the replicas in turn. It sees connections and no statements. */
import { addressOf, entry, freePort, type Kind } from './proxy.js';

export const haproxy: Kind = {
  binary: 'haproxy',
  debianPackage: 'haproxy',
  stopSignal: 'SIGTERM',
  async plan({ primary, replicas }, folder) {
    const writes = await freePort();
    const reads = await freePort();
    const server = (url: string, index: number) => {
      const { host, port } = addressOf(url);
      return `  server s${index} ${host}:${port}`;
    };
    const configuration = `
global
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen writes
  bind 127.0.0.1:${writes}
${server(primary, 0)}
listen reads
  bind 127.0.0.1:${reads}
  balance roundrobin
${replicas.map(server).join('\n')}
`;
    return {
      files: { 'haproxy.cfg': configuration },
      args: ['-db', '-f', `${folder}/haproxy.cfg`],
      entries: { primary: entry(writes), replicas: [entry(reads)] },
    };
  },
};
