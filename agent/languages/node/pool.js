// The processes that call the skill: who answers which call, and until when. Runs in the sandbox; nothing but Node's own library.
//
// Each call has a process of its own, which has loaded the skill before the call comes (a few wait) and is killed after it, with all
// that it started. Only where the manifest says that a call neither changes nor needs anything (readOnly and idempotent) does a
// process stay for the next call, and then of the same caller alone: starting Node takes tens of milliseconds. It stays only after a
// call that ended well and left nothing (worker.js says what), and for MANY calls at most. A failure in a process that has
// answered before may be the fault of what it kept: where it came soon, the call is made once more, in a fresh one.
'use strict';

const { spawn } = require('node:child_process');
const path = require('node:path');

const MAX_BODY = 8 * 2 ** 20; // bytes, either way: agent.domain.invocation.MAX_BODY
const AT_ONCE = 8; // processes that have a call or stay for one; agent/languages/node/language.py has the memory for them
const WAITING = 2; // processes that have loaded the skill and wait for any call
const MANY = 1000; // calls of one process
const STAYS = 30_000; // milliseconds that a process stays for its caller's next call
const SOON = 1000; // milliseconds
const NODE_ITSELF = 192; // MiB of data that Node needs beside what the skill is allowed

const failed = (code, message, unforeseen = false) => ({ ok: false, unforeseen, body: JSON.stringify({ success: false, error: { code, message } }) });

class Worker {
  constructor(service, gone) {
    const mebibytes = Math.ceil(service.memory / 2 ** 20);
    const flags = [`--max-old-space-size=${mebibytes}`, '--no-addons', path.join(__dirname, 'worker.js')];
    const limited = 'ulimit -c 0 && ulimit -d "$0" && exec "$@"'; // RLIMIT_DATA: V8 reserves far more address space than it uses
    this.child = spawn('/bin/sh', ['-c', limited, String((mebibytes + NODE_ITSELF) * 1024), process.execPath, ...flags], {
      cwd: service.code,
      detached: true, // a process group of its own, which is killed as a whole
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    this.calls = 0;
    this.said = [];
    this.size = 0;
    this.outOfMemory = this.over = false;
    this.gone = gone;
    this.loaded = new Promise((resolve) => (this.onLoaded = resolve));
    this.onReply = () => {};
    this.child.stdin.on('error', () => {}); // a process that died says so below
    this.child.stdout.on('data', (data) => process.stdout.write(data));
    this.child.stderr.on('data', (data) => this.#log(data));
    this.child.stdio[3].on('data', (data) => this.#hear(data));
    this.child.on('error', (error) => this.#end(`no process could be started: ${error.code}`));
    this.child.on('close', (status, signal) => this.#end(signal ? `signal ${signal}` : `exit code ${status}`));
  }

  #log(data) {
    this.outOfMemory ||= data.includes('out of memory');
    process.stderr.write(data);
  }

  // Lines of one letter and a JSON value: R ready, U cannot be loaded; O outputs, K outputs and it stays; E error, F one that is unforeseen.
  #hear(data) {
    this.size += data.length;
    if (this.size > MAX_BODY + 4096) return this.#finish(failed('bad-outputs', `the outputs are larger than ${MAX_BODY} bytes`));
    this.said.push(data);
    if (data[data.length - 1] !== 10) return undefined; // a process says one thing and waits
    const lines = Buffer.concat(this.said).toString().split('\n').slice(0, -1);
    this.said = [];
    this.size = 0;
    for (const line of lines) this.#heed(line[0], line.slice(1));
    return undefined;
  }

  #heed(kind, value) {
    if (kind === 'R') this.onLoaded('');
    else if (kind === 'U') this.onLoaded(JSON.parse(value));
    else if (kind === 'K') this.onReply({ ok: true, stays: true, body: value });
    else this.#finish({ ok: kind === 'O', unforeseen: kind === 'F', body: value });
  }

  #finish(reply) {
    this.onLoaded('');
    this.onReply(reply);
    this.kill();
  }

  #end(how) {
    this.over = true;
    this.onLoaded('the process died while it loaded the skill');
    const memory = "the call needed more memory than the manifest's resources.memory";
    const killed = how === 'signal SIGKILL';
    if (this.outOfMemory || killed) this.onReply(failed('out-of-memory', memory, true));
    else this.onReply(failed('crashed', `the process of this call ended without an answer: ${how}`, true));
    this.gone(this);
  }

  async call(body, stays) {
    const problem = await this.loaded;
    if (problem) return failed('crashed', problem);
    this.calls += 1;
    return new Promise((resolve) => {
      this.onReply = resolve;
      if (this.over) resolve(failed('crashed', 'the process of this call is gone', true));
      const data = Buffer.from(body);
      const head = Buffer.from(`${stays && this.calls < MANY ? 'S' : '1'}${data.length}\n`);
      this.child.stdin.write(Buffer.concat([head, data])); // as one: each piece would wake the process by itself
    });
  }

  kill() {
    this.over = true;
    try {
      process.kill(-this.child.pid, 'SIGKILL');
    } catch {
      // it is gone
    }
  }
}

class Pool {
  constructor(service) {
    this.service = service;
    this.fresh = []; // wait for any call
    this.kept = []; // {caller, worker, timer}: stay for their caller's next; the one that has waited longest first
    this.queue = [];
    this.running = 0;
    this.#refill();
    this.loaded = this.fresh[0].loaded;
  }

  // The reply to a call with this body, where it can be had before `until`.
  async ask(body, caller, until) {
    if (!(await this.#turn(until))) return failed('busy', 'no call could be started before the deadline');
    try {
      const stays = this.service.keep && caller !== '';
      const worker = (stays && this.#kept(caller)) || this.#new();
      const began = performance.now();
      const reply = await this.#answer(worker, body, stays && caller, until);
      if (!reply.unforeseen || worker.calls < 2 || performance.now() - began > SOON) return reply;
      return await this.#answer(this.#new(), body, '', until);
    } finally {
      this.#refill();
      this.#pass();
    }
  }

  async #answer(worker, body, caller, until) {
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, Math.max(1, until - performance.now()), failed('timeout', 'the call took longer than it was allowed to'));
    });
    const reply = await Promise.race([worker.call(body, Boolean(caller)), late]);
    clearTimeout(timer);
    if (reply.stays && caller) this.#keep(worker, caller);
    else worker.kill();
    return reply;
  }

  // Resolves to true when a call may start, to false where its time is up before.
  #turn(until) {
    if (this.running < AT_ONCE) {
      this.running += 1;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.queue.splice(this.queue.indexOf(next), 1);
        resolve(false);
      }, until - performance.now());
      const next = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.queue.push(next);
    });
  }

  #pass() {
    const next = this.queue.shift();
    if (next) next();
    else this.running -= 1;
  }

  #keep(worker, caller) {
    const timer = setTimeout(() => this.#drop(worker)?.kill(), STAYS);
    this.kept.push({ caller, worker, timer });
  }

  #kept(caller) {
    const mine = this.kept.findLast((each) => each.caller === caller);
    return mine && this.#drop(mine.worker);
  }

  #drop(worker) {
    const at = this.kept.findIndex((each) => each.worker === worker);
    if (at < 0) return undefined;
    clearTimeout(this.kept[at].timer);
    this.kept.splice(at, 1);
    return worker;
  }

  // A process that nobody has called; one that stays for another caller makes room.
  #new() {
    while (this.kept.length && this.kept.length + this.running > AT_ONCE) this.#drop(this.kept[0].worker).kill();
    return this.fresh.shift() ?? this.#start();
  }

  #start() {
    return new Worker(this.service, (worker) => {
      this.#drop(worker);
      if (this.fresh.includes(worker)) this.fresh.splice(this.fresh.indexOf(worker), 1);
    });
  }

  #refill() {
    while (this.fresh.length < WAITING) this.fresh.push(this.#start());
  }
}

module.exports = { MAX_BODY, Pool, failed };
