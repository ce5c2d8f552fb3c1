// The inputs as a request: {url, method, headers, body}. Raises Fault for what cannot be sent.
'use strict';

const { Fault } = require('./faults.js');

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
const BODIES = ['json', 'form', 'text', 'base64'];
const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // RFC 9110, 5.6.2
// What belongs to the connection and not to the request.
const OURS = /^(host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect|proxy-.*)$/;
const KINDS = { json: 'application/json', form: 'application/x-www-form-urlencoded', text: 'text/plain; charset=utf-8' };

const wrong = (message) => new Fault('invalid-inputs', message);
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function requestOf(inputs, userAgent) {
  const method = inputs.method ?? 'GET';
  if (!METHODS.includes(method)) throw wrong(`method is one of ${METHODS.join(', ')}`);
  const url = urlOf(inputs.url);
  for (const [name, value] of pairs(inputs.query ?? {}, 'query')) url.searchParams.append(name, value);
  const headers = { 'user-agent': userAgent, accept: '*/*', 'accept-encoding': 'gzip, deflate, br', ...headersOf(inputs.headers ?? {}) };
  if (url.username || url.password) {
    const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers.authorization ??= `Basic ${Buffer.from(login).toString('base64')}`;
    url.username = url.password = '';
  }
  const body = bodyOf(inputs, method, headers);
  return { url, method, headers, body };
}

function urlOf(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw wrong('url is a full address, like https://api.example.com/items');
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw wrong('url starts with https:// or http://');
  url.hash = '';
  return url;
}

// Names and values of an object; a list gives its name several times.
function pairs(object, what) {
  if (!isObject(object)) throw wrong(`${what} is an object`);
  return Object.entries(object).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((item) => {
      if (!['string', 'number', 'boolean'].includes(typeof item)) throw wrong(`${what}: ${name} is a text, a number, true, false, or a list of these`);
      return [name, String(item)];
    }),
  );
}

function headersOf(given) {
  if (!isObject(given)) throw wrong('headers is an object');
  const headers = {};
  for (const [name, value] of Object.entries(given)) {
    const lower = name.toLowerCase();
    if (!NAME.test(name)) throw wrong(`${JSON.stringify(name)} is no name of a header`);
    if (OURS.test(lower)) throw wrong(`the header ${name} is set by the connection itself`);
    if (typeof value !== 'string' || /[^\t\x20-\x7e\x80-\xff]/.test(value)) throw wrong(`the header ${name} is a text of one line, in Latin-1`);
    headers[lower] = value;
  }
  return headers;
}

function bodyOf(inputs, method, headers) {
  const given = BODIES.filter((kind) => kind in inputs);
  if (given.length > 1) throw wrong(`${given.join(' and ')} cannot both be the body`);
  if (!given.length) return undefined;
  if (method === 'GET' || method === 'HEAD') throw wrong(`${method} has no body`);
  const [kind] = given;
  if (KINDS[kind]) headers['content-type'] ??= KINDS[kind];
  return encoded(kind, inputs[kind]);
}

function encoded(kind, value) {
  if (kind === 'json') return Buffer.from(JSON.stringify(value));
  if (kind === 'form') return Buffer.from(new URLSearchParams(pairs(value, 'form')).toString());
  if (typeof value !== 'string') throw wrong(`${kind} is a text`);
  if (kind === 'text') return Buffer.from(value);
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(value)) throw wrong('base64 is not base64');
  return Buffer.from(value, 'base64');
}

module.exports = { requestOf, urlOf };
