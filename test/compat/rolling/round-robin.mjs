/**
 * A load balancer in a process of its own: each request goes to the next of the origins that its
 * parent last told it. It looks into no request and keeps nobody with a server. It ends when its
 * parent is gone.
 */
import { Agent, request as ask, createServer } from 'node:http';

const agent = new Agent({ keepAlive: true });
let origins = [];
let turn = 0;

const server = createServer((incoming, outgoing) => {
  const { method, url, headers } = incoming;
  const origin = origins[turn++ % origins.length];
  const passed = ask(`${origin}${url}`, { method, headers, agent }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.rawHeaders);
    answer.pipe(outgoing);
  });
  passed.once('error', (error) => outgoing.writeHead(502).end(String(error)));
  incoming.pipe(passed);
});

server.listen(0, '127.0.0.1', () => process.send({ origin: `http://127.0.0.1:${server.address().port}` }));
process.on('message', (told) => {
  origins = told;
  process.send('told');
});
process.once('disconnect', () => {
  server.close();
  server.closeAllConnections();
  agent.destroy();
});
