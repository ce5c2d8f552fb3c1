// The server shim for Node: runs in the sandbox and speaks the design's HTTP contract on a unix socket. Nothing but Node's own library.
//
// `node server.js SOCKET`, with `service.json` and `worker.js` beside it; in a container without SOCKET, on the address that
// SKILL_LISTEN names (0.0.0.0:8080). This process never loads the skill's code. Each call has a
// process of its own, which has loaded the skill before the call comes (a few wait) and is killed after it, with all that it started.
//
// Every call that reaches the skill is answered with 200, also where it fails: the reply's `error.code` says how.
'use strict';

const { spawn } = require('node:child_process');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const MAX_BODY = 8 * 2 ** 20; // bytes, either way: agent.domain.invocation.MAX_BODY
const CALLS_AT_ONCE = 8; // agent/languages/node/language.py has the memory for as many processes
const WAITING = 2; // processes that have loaded the skill and wait for a call
const NODE_ITSELF = 192; // MiB of data that Node needs beside what the skill is allowed

const service = JSON.parse(fs.readFileSync(path.join(__dirname, 'service.json'), 'utf8'));
const label = `{skill="${service.name}"}`;
const counts = { calls: 0, errors: 0, seconds: 0, inFlight: 0 };
let unhealthy = 'starting';

const failed = (code, message) => ({ ok: false, body: JSON.stringify({ success: false, error: { code, message } }) });

// ---- one process for one call --------------------------------------------------------------------------------------------

class Worker {
  constructor() {
    const mebibytes = Math.ceil(service.memory / 2 ** 20);
    const flags = [`--max-old-space-size=${mebibytes}`, '--no-addons', path.join(__dirname, 'worker.js')];
    const limited = 'ulimit -c 0 && ulimit -d "$0" && exec "$@"'; // RLIMIT_DATA: V8 reserves far more address space than it uses
    this.child = spawn('/bin/sh', ['-c', limited, String((mebibytes + NODE_ITSELF) * 1024), process.execPath, ...flags], {
      cwd: service.code,
      detached: true, // a process group of its own, which is killed as a whole
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    this.said = '';
    this.size = 0;
    this.outOfMemory = false;
    this.loaded = new Promise((resolve) => (this.onLoaded = resolve));
    this.reply = new Promise((resolve) => (this.onReply = resolve));
    this.child.stdin.on('error', () => {}); // a process that died says so below
    this.child.stdout.on('data', (data) => process.stdout.write(data));
    this.child.stderr.on('data', (data) => this.#log(data));
    this.child.stdio[3].setEncoding('utf8').on('data', (text) => this.#hear(text));
    this.child.on('error', (error) => this.#end(`no process could be started: ${error.code}`));
    this.child.on('close', (status, signal) => this.#end(signal ? `signal ${signal}` : `exit code ${status}`));
  }

  #log(data) {
    this.outOfMemory ||= data.includes('out of memory');
    process.stderr.write(data);
  }

  // Lines of one letter and a JSON value: R ready, U cannot be loaded, O outputs, E error.
  #hear(text) {
    this.size += text.length;
    if (this.size > MAX_BODY + 4096) return this.#finish(failed('bad-outputs', `the outputs are larger than ${MAX_BODY} bytes`));
    this.said += text;
    for (let end = text.includes('\n') ? this.said.indexOf('\n') : -1; end >= 0; end = this.said.indexOf('\n')) {
      const [kind, value] = [this.said[0], this.said.slice(1, end)];
      this.said = this.said.slice(end + 1);
      if (kind === 'R') this.onLoaded('');
      else if (kind === 'U') this.onLoaded(JSON.parse(value));
      else this.#finish({ ok: kind === 'O', body: value });
    }
  }

  #finish(reply) {
    this.onLoaded('');
    this.onReply(reply);
    this.kill();
  }

  #end(how) {
    this.onLoaded('the process died while it loaded the skill');
    const memory = "the call needed more memory than the manifest's resources.memory";
    const killed = how === 'signal SIGKILL';
    if (this.outOfMemory || killed) this.onReply(failed('out-of-memory', memory));
    else this.onReply(failed('crashed', `the process of this call ended without an answer: ${how}`));
  }

  async call(body) {
    const problem = await this.loaded;
    if (problem) return failed('crashed', problem);
    this.child.stdin.end(body);
    return this.reply;
  }

  kill() {
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // it is gone
    }
  }
}

const waiting = [];
const refill = () => {
  while (waiting.length < WAITING) waiting.push(new Worker());
};

// ---- calls ----------------------------------------------------------------------------------------------------------------

const queue = [];
let running = 0;

// Resolves to true when a call may start, to false where its time is up before.
function turn(until) {
  if (running < CALLS_AT_ONCE) {
    running += 1;
    return Promise.resolve(true);
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      queue.splice(queue.indexOf(next), 1);
      resolve(false);
    }, until - performance.now());
    const next = () => {
      clearTimeout(timer);
      resolve(true);
    };
    queue.push(next);
  });
}

function pass() {
  const next = queue.shift();
  if (next) next();
  else running -= 1;
}

async function within(body, until) {
  if (!(await turn(until))) return failed('busy', 'no call could be started before the deadline');
  const worker = waiting.shift() ?? new Worker();
  let timer;
  try {
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, Math.max(1, until - performance.now()), failed('timeout', 'the call took longer than it was allowed to'));
    });
    return await Promise.race([worker.call(body), late]);
  } finally {
    clearTimeout(timer);
    worker.kill();
    refill();
    pass();
  }
}

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
  let body, deadline;
  try {
    body = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const call = JSON.parse(body);
    const context = call.context ?? {};
    deadline = Number(context.deadline ?? service.timeout);
    if (!isObject(call.inputs) || !isObject(context) || Number.isNaN(deadline) || !finite(call)) throw new TypeError();
  } catch {
    return [400, failed('bad-request', 'the body must be {"inputs": {...}, "context": {...}} as JSON').body];
  }
  const started = performance.now();
  counts.inFlight += 1;
  let reply = failed('unhealthy', unhealthy);
  try {
    const until = started + 1000 * Math.min(Math.max(deadline, 0), service.timeout);
    if (!unhealthy || unhealthy === 'starting') reply = await within(body, until);
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
  server.listen(Number(port), host);
}
refill();
waiting[0].loaded.then((problem) => {
  unhealthy = problem;
});
