// A local HTTP server that answers with `reply`: [status, headers, body]; gives its address and the requests.
import http from 'node:http';

export async function served(t, reply) {
  const asked = [];
  const server = http.createServer((request, response) => {
    asked.push({ url: new URL(request.url, 'http://x'), headers: request.headers });
    if (!reply) return;
    response.writeHead(reply[0], reply[1]);
    response.end(reply[2]);
  });
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, asked };
}
