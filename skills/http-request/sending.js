// One exchange: a request and its reply, within a time and a size.
'use strict';

const http = require('node:http');
const https = require('node:https');
const { once } = require('node:events');
const { pipeline } = require('node:stream');
const zlib = require('node:zlib');

const { Fault, meant } = require('./faults.js');

const DECODERS = { gzip: zlib.createGunzip, 'x-gzip': zlib.createGunzip, deflate: zlib.createInflate, br: zlib.createBrotliDecompress };

const OF_THE_CONNECTION = ['connection', 'keep-alive', 'transfer-encoding'];

// An error that comes after `once` has told of the first, or of the end: nobody waits for it any more.
const ignored = () => {};

// Resolves to {status, headers, body}; `headers` by names in small letters, lists where there were several.
async function exchange(request, { maxBytes, signal }) {
  const { url, method, headers, body } = request;
  try {
    const length = body ? { 'content-length': String(body.length) } : {};
    const options = { method, headers: { ...headers, ...length }, signal, agent: false };
    const sent = (url.protocol === 'https:' ? https : http).request(url, options);
    sent.on('error', ignored);
    sent.end(body);
    const [response] = await once(sent, 'response', { signal });
    const received = await read(response, method === 'HEAD', maxBytes);
    return { status: response.statusCode, headers: headersOf(response.rawHeaders), body: received };
  } catch (error) {
    throw meant(error, url.host);
  }
}

// The body, unpacked; never more than `maxBytes` of it.
async function read(response, bodiless, maxBytes) {
  const chunks = [];
  let size = 0;
  const decoder = bodiless ? undefined : DECODERS[(response.headers['content-encoding'] ?? '').trim().toLowerCase()];
  for await (const chunk of decoder ? pipeline(response, decoder(), ignored) : response) {
    size += chunk.length;
    if (size > maxBytes) throw new Fault('too-large', `the reply has more than ${maxBytes} bytes: raise max_bytes, or ask for less`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// All but those of the connection, which is over.
function headersOf(raw) {
  const headers = {};
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at].toLowerCase();
    if (OF_THE_CONNECTION.includes(name)) continue;
    headers[name] = name in headers ? [headers[name], raw[at + 1]].flat() : raw[at + 1];
  }
  return headers;
}

module.exports = { exchange };
