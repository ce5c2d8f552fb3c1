// Local servers for the tests, each closed when its test ends.
'use strict';

const http = require('node:http');
const net = require('node:net');

async function listening(t, server) {
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

// An HTTP server that answers with `reply(request, response, body)`; gives its address and what it was asked.
async function served(t, reply) {
  const asked = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    asked.push({ method: request.method, url: request.url, headers: request.headers, body });
    reply(request, response, body);
  });
  return { url: await listening(t, server), asked };
}

// A server that says `bytes` to whoever connects, and ends.
async function saying(t, bytes) {
  return listening(t, net.createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(bytes));
  }));
}

module.exports = { saying, served };
