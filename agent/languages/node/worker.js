// A process that calls the skill: loads it, waits for a call on stdin, answers on descriptor 3. Runs in the sandbox.
//
// A call comes as a letter and its length on a line, and its body: `1` is the last of this process, `S` maybe not. After an S the process
// goes on where the call ended well and left no process, no thread, nothing to wait for, and little memory behind.
'use strict';

const childProcess = require('node:child_process');
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const MAX_BODY = 8 * 2 ** 20; // bytes: agent.domain.invocation.MAX_BODY
const CODE = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const GROWTH = 32 * 2 ** 20; // bytes that this process may have grown by and still go on
const { code, entrypoint } = JSON.parse(fs.readFileSync(path.join(__dirname, 'service.json'), 'utf8'));

let started = false; // whether the skill has begun a process or a thread: some leave nothing in the event loop
let before = { memory: 0, waited: '' }; // the bytes of memory and what the event loop waited for, before the first call

function tell(kind, text) {
  let data = Buffer.from(`${kind}${text}\n`);
  while (data.length) data = data.subarray(fs.writeSync(3, data));
}

function fail(errorCode, message, kind = 'E') {
  tell(kind, JSON.stringify({ success: false, error: { code: errorCode, message: message.slice(0, 2000) } }));
  process.exit(1);
}

function described(error) {
  if (!(error instanceof Error)) return String(error);
  return error.message ? `${error.name}: ${error.message}` : error.name;
}

// What was thrown, as the error that a caller sees: it may name a code of its own.
function failWith(error) {
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') {
    fail('out-of-memory', "the call needed more memory than the manifest's resources.memory", 'F');
  }
  if (typeof error?.code === 'string' && CODE.test(error.code)) fail(error.code, String(error.message || error.name));
  console.error(error);
  fail('skill-error', described(error), 'F');
}

// JSON has no NaN and no Infinity; JSON.stringify would make them null.
function finite(_, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is not JSON`);
  return value;
}

function watchWhatIsStarted() {
  const { ChildProcess } = childProcess;
  for (const [where, name] of [[ChildProcess.prototype, 'spawn'], ...['spawnSync', 'execSync', 'execFileSync'].map((each) => [childProcess, each])]) {
    const real = where[name];
    where[name] = function watched(...given) {
      started = true;
      return real.apply(this, given);
    };
  }
  syncBuiltinESMExports();
  process.on('worker', () => (started = true));
}

const waitedFor = () => process.getActiveResourcesInfo().sort().join();
const nothingIsLeft = () => !started && waitedFor() === before.waited && process.memoryUsage.rss() - before.memory < GROWTH;

// Answers; whether this process goes on.
function reply(outputs, last) {
  if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs)) {
    const kind = outputs === null ? 'null' : Array.isArray(outputs) ? 'an array' : typeof outputs;
    fail('bad-outputs', `execute returned ${kind}, not an object`);
  }
  let text;
  try {
    text = JSON.stringify({ success: true, outputs }, finite);
  } catch (error) {
    fail('bad-outputs', `the outputs are not JSON: ${described(error)}`);
  }
  if (Buffer.byteLength(text) > MAX_BODY) fail('bad-outputs', `the outputs are larger than ${MAX_BODY} bytes`);
  const stays = !last && nothingIsLeft();
  tell(stays ? 'K' : 'O', text);
  return stays;
}

async function load() {
  try {
    const module = await import(pathToFileURL(path.join(code, entrypoint)));
    const execute = module.execute ?? module.default?.execute;
    if (typeof execute !== 'function') throw new TypeError(`${entrypoint} has no function execute(inputs, context)`);
    return execute;
  } catch (error) {
    console.error(error);
    tell('U', JSON.stringify(`${entrypoint} cannot be loaded: ${described(error)}`.slice(0, 2000)));
    return process.exit(1);
  }
}

// Exactly `length` bytes of stdin, or up to the end of a line; undefined where there is no more. Nothing else goes on meanwhile.
function read(length) {
  const data = Buffer.alloc(length ?? 32);
  let size = 0;
  while (size < data.length && (length !== undefined || data[size - 1] !== 10)) {
    const got = fs.readSync(0, data, size, length === undefined ? 1 : length - size);
    if (!got) return undefined;
    size += got;
  }
  return data.subarray(0, size);
}

async function main() {
  const execute = await load();
  watchWhatIsStarted();
  process.on('uncaughtException', failWith); // a promise that nobody waits for comes here, too
  process.on('beforeExit', () => fail('crashed', 'execute waits for something that never comes: there is nothing left to do'));
  void [process.stdout, process.stderr]; // they are made when they are first named
  tell('R', '');
  before = { memory: process.memoryUsage.rss(), waited: waitedFor() };
  for (let stays = true; stays; ) {
    const head = read()?.toString();
    const body = head && read(Number(head.slice(1)));
    if (!body) break; // there will be no call
    try {
      const call = JSON.parse(body);
      stays = reply(await execute(call.inputs, call.context ?? {}), head[0] === '1');
    } catch (error) {
      failWith(error);
    }
  }
  process.exit(0);
}

main();
