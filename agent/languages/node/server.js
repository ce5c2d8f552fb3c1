// The server shim for Node: runs in the sandbox and speaks the design's HTTP contract on a unix socket. Nothing but Node's own library.
//
// `node server.js SOCKET`, with `service.json`, `pool.js` and `worker.js` beside it; in a container without SOCKET, on the address that
// SKILL_LISTEN names (0.0.0.0:8080). This process never loads the skill's code: processes that `pool.js` looks after do.
//
// Every call that reaches the skill is answered with 200, also where it fails: the reply's `error.code` says how.
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { MAX_BODY, Pool, failed } = require('./pool.js');

const service = JSON.parse(fs.readFileSync(path.join(__dirname, 'service.json'), 'utf8'));
const label = `{skill="${service.name}"}`;
const counts = { calls: 0, errors: 0, seconds: 0, inFlight: 0 };
const pool = new Pool(service);
let unhealthy = 'starting';

// ---- calls ----------------------------------------------------------------------------------------------------------------

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

// Whether all numbers are finite: JSON has no others, but 9e999 is read as Infinity.
function finite(value) {
  const left = [value];
  while (left.length) {
    const next = left.pop();
    if (typeof next === 'number' && !Number.isFinite(next)) return false;
    if (typeof next === 'object' && next !== null) for (const inner of Object.values(next)) left.push(inner);
  }
  return true;
}

async function execute(bytes) {
  let body, deadline, caller;
  try {
    body = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const call = JSON.parse(body);
    const context = call.context ?? {};
    deadline = Number(context.deadline ?? service.timeout);
    caller = String(context.caller ?? '');
    if (caller.length > 200) caller = ''; // too long to be compared: no process stays for two whose names begin alike
    if (!isObject(call.inputs) || !isObject(context) || Number.isNaN(deadline) || !finite(call)) throw new TypeError();
  } catch {
    return [400, failed('bad-request', 'the body must be {"inputs": {...}, "context": {...}} as JSON').body];
  }
  const started = performance.now();
  counts.inFlight += 1;
  let reply = failed('unhealthy', unhealthy);
  try {
    const until = started + 1000 * Math.min(Math.max(deadline, 0), service.timeout);
    if (!unhealthy || unhealthy === 'starting') reply = await pool.ask(body, caller, until);
    if (unhealthy && !reply.ok) reply = failed('unhealthy', unhealthy);
  } finally {
    counts.inFlight -= 1;
    counts.calls += 1;
    counts.errors += reply.ok ? 0 : 1;
    counts.seconds += (performance.now() - started) / 1000;
  }
  return [unhealthy && !reply.ok ? 503 : 200, reply.body];
}

function health() {
  const state = unhealthy ? { status: 'unhealthy', reason: unhealthy } : { status: 'healthy' };
  return [unhealthy ? 503 : 200, JSON.stringify({ ...state, name: service.name, version: service.version })];
}

function metrics() {
  const figures = [
    ['skill_calls_total', 'counter', 'Calls answered.', counts.calls],
    ['skill_errors_total', 'counter', 'Calls answered with an error.', counts.errors],
    ['skill_call_seconds_sum', 'counter', 'Seconds spent in calls.', counts.seconds.toFixed(6)],
    ['skill_calls_in_flight', 'gauge', 'Calls that run now.', counts.inFlight],
  ];
  return [200, figures.map(([name, kind, text, value]) => `# HELP ${name} ${text}\n# TYPE ${name} ${kind}\n${name}${label} ${value}\n`).join('')];
}

// ---- HTTP -----------------------------------------------------------------------------------------------------------------

function answer(response, [status, body], kind = 'application/json') {
  response.sendDate = false;
  response.writeHead(status, { 'Content-Type': kind, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function refuse(response, status, code, message) {
  response.shouldKeepAlive = false;
  answer(response, [status, failed(code, message).body]);
}

// The request's body; undefined where it was refused, and the refusal sent.
async function read(request, response) {
  if ('transfer-encoding' in request.headers) return refuse(response, 411, 'bad-request', 'the body needs a Content-Length');
  const length = Number(request.headers['content-length'] ?? 0);
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length; // what is too large is read on for a while, so that the client can read the answer
    if (size > 8 * MAX_BODY) break;
    if (length <= MAX_BODY) chunks.push(chunk);
  }
  if (length > MAX_BODY) return refuse(response, 413, 'too-large', `the body is larger than ${MAX_BODY} bytes`);
  return Buffer.concat(chunks);
}

async function route(request, response) {
  const body = await read(request, response);
  if (body === undefined) return;
  const wanted = `${request.method} ${request.url.split('?')[0]}`;
  if (wanted === 'POST /execute') answer(response, await execute(body));
  else if (wanted === 'GET /health') answer(response, health());
  else if (wanted === 'GET /metrics') answer(response, metrics(), 'text/plain; version=0.0.4');
  else if (/ \/(execute|health|metrics)$/.test(wanted)) refuse(response, 405, 'bad-request', `${wanted.replace(' ', ' is not allowed on ')}`);
  else refuse(response, 404, 'not-found', 'the paths are /execute, /health and /metrics');
}

const server = http.createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (request, response) => {
  route(request, response).catch(() => response.destroy()); // a client that went away is no news
});
server.on('clientError', (error, socket) => {
  const status = { HPE_INVALID_METHOD: 405, HPE_HEADER_OVERFLOW: 431 }[error.code] ?? 400;
  const body = failed('bad-request', status === 405 ? 'the method is not allowed' : 'the request cannot be read').body;
  const head = `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  if (socket.writable) socket.end(`${head}Connection: close\r\n\r\n${body}`);
});

process.on('SIGTERM', () => process.exit(0)); // the first process of a container would not hear it otherwise
if (process.argv[2]) {
  fs.rmSync(process.argv[2], { force: true });
  server.listen(process.argv[2]);
} else {
  const [, host, port] = /^(.*):(\d+)$/.exec(process.env.SKILL_LISTEN);
  const callers = (process.env.SKILL_CALLERS ?? '').split(' ').filter(Boolean); // where there are any, nobody else is answered
  if (callers.length) server.on('connection', (socket) => callers.includes(socket.remoteAddress) || socket.destroy());
  server.listen(Number(port), host);
}
pool.loaded.then((problem) => {
  unhealthy = problem;
});
