// The process of one call: loads the skill, waits for the call on stdin, answers on descriptor 3. Runs in the sandbox.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

const MAX_BODY = 8 * 2 ** 20; // bytes: agent.domain.invocation.MAX_BODY
const CODE = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const { code, entrypoint } = JSON.parse(fs.readFileSync(path.join(__dirname, 'service.json'), 'utf8'));

function tell(kind, text) {
  let data = Buffer.from(`${kind}${text}\n`);
  while (data.length) data = data.subarray(fs.writeSync(3, data));
}

function fail(errorCode, message) {
  tell('E', JSON.stringify({ success: false, error: { code: errorCode, message: message.slice(0, 2000) } }));
  process.exit(1);
}

function described(error) {
  if (!(error instanceof Error)) return String(error);
  return error.message ? `${error.name}: ${error.message}` : error.name;
}

// What was thrown, as the error that a caller sees: it may name a code of its own.
function failWith(error) {
  if (error instanceof RangeError && error.message === 'Array buffer allocation failed') {
    fail('out-of-memory', "the call needed more memory than the manifest's resources.memory");
  }
  if (typeof error?.code === 'string' && CODE.test(error.code)) fail(error.code, String(error.message || error.name));
  console.error(error);
  fail('skill-error', described(error));
}

// JSON has no NaN and no Infinity; JSON.stringify would make them null.
function finite(_, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is not JSON`);
  return value;
}

function reply(outputs) {
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
  tell('O', text);
  process.exit(0);
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

async function main() {
  const execute = await load();
  process.on('uncaughtException', failWith); // a promise that nobody waits for comes here, too
  tell('R', '');
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  if (!chunks.length) process.exit(0); // there will be no call
  const call = JSON.parse(Buffer.concat(chunks));
  process.on('beforeExit', () => fail('crashed', 'execute waits for something that never comes: there is nothing left to do'));
  try {
    reply(await execute(call.inputs, call.context ?? {}));
  } catch (error) {
    failWith(error);
  }
}

main();
