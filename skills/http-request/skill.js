// HTTP requests: any method, with redirects, retries and limits.
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

const { Fault } = require('./faults.js');
const { told } = require('./reply.js');
const { requestOf, urlOf } = require('./request.js');
const { exchange } = require('./sending.js');

const RETRIED = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']; // idempotent (RFC 9110, 9.2.2): sending them twice does nothing twice
const BUSY = [429, 502, 503, 504];
const AGAIN = ['unreachable', 'unknown-host', 'bad-reply'];
const REDIRECTS = [301, 302, 303, 307, 308];
const LONGEST_WAIT = 5000; // milliseconds
const PRIVATE = ['authorization', 'cookie'];

async function execute(inputs, _context) {
  const request = requestOf(inputs, process.env.USER_AGENT);
  const limits = {
    seconds: number(inputs, 'timeout', 20, 1, 60),
    maxBytes: number(inputs, 'max_bytes', 2 ** 20, 1, 4 * 2 ** 20),
    redirects: number(inputs, 'redirects', 5, 0, 10),
    retries: number(inputs, 'retries', 2, 0, 5),
  };
  const signal = AbortSignal.timeout(limits.seconds * 1000);
  const path = [];
  let [current, reply] = [request, await persistent(request, limits, signal)];
  while (REDIRECTS.includes(reply.status) && reply.headers.location !== undefined && limits.redirects > 0) {
    if (path.length === limits.redirects) throw new Fault('too-many-redirects', `it leads on after ${limits.redirects} redirects, to ${reply.headers.location}`);
    path.push(current.url.href);
    current = redirected(current, reply);
    reply = await persistent(current, limits, signal);
  }
  return told(reply, current.url, path, inputs.as ?? 'auto');
}

function number(inputs, name, otherwise, least, most) {
  const value = inputs[name] ?? otherwise;
  if (!Number.isInteger(value) || value < least || value > most) throw new Fault('invalid-inputs', `${name} is a whole number from ${least} to ${most}`);
  return value;
}

// Tries again where that is safe and may help.
async function persistent(request, limits, signal) {
  const tries = RETRIED.includes(request.method) ? limits.retries : 0;
  for (let failed = 0; ; failed += 1) {
    const { reply, fault } = await attempt(request, limits, signal);
    const hopeful = fault ? AGAIN.includes(fault.code) : BUSY.includes(reply.status);
    if (!hopeful || failed === tries) {
      if (fault) throw fault;
      return reply;
    }
    try {
      await sleep(pause(reply, failed), undefined, { signal });
    } catch {
      throw new Fault('timeout', 'no full reply came in time');
    }
  }
}

async function attempt(request, limits, signal) {
  try {
    return { reply: await exchange(request, { maxBytes: limits.maxBytes, signal }) };
  } catch (fault) {
    return { fault };
  }
}

// Milliseconds until the next try: what the reply asks for, or twice as long each time.
function pause(reply, failed) {
  const asked = Number(reply?.headers['retry-after'] ?? NaN) * 1000;
  return Math.min(Number.isFinite(asked) ? asked : Number(process.env.RETRY_MILLISECONDS) * 2 ** failed, LONGEST_WAIT);
}

// The request that a reply leads to (RFC 9110, 15.4). What is private stays with the host that it was meant for.
function redirected(request, reply) {
  let url;
  try {
    url = urlOf(new URL([reply.headers.location].flat()[0], request.url).href);
  } catch {
    throw new Fault('bad-reply', `it leads to ${JSON.stringify(reply.headers.location)}, which is no address`);
  }
  const headers = { ...request.headers };
  if (url.origin !== request.url.origin) for (const name of PRIVATE) delete headers[name];
  const keeps = reply.status === 307 || reply.status === 308 || ['GET', 'HEAD'].includes(request.method);
  if (keeps || (reply.status !== 303 && request.method !== 'POST')) return { ...request, url, headers };
  delete headers['content-type'];
  return { url, headers, method: 'GET', body: undefined };
}

module.exports = { execute };
