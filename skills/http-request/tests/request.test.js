'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { requestOf } = require('../request.js');

const refused = (inputs, message) => assert.throws(() => requestOf({ url: 'https://example.com', ...inputs }, 'me'), { code: 'invalid-inputs', message });
const made = (inputs) => requestOf({ url: 'https://example.com/', ...inputs }, 'me');

test('asks with GET and the headers of its own', () => {
  const { url, ...rest } = requestOf({ url: 'https://example.com/a?b=1#c' }, 'me');
  assert.equal(url.href, 'https://example.com/a?b=1');
  const headers = { 'user-agent': 'me', accept: '*/*', 'accept-encoding': 'gzip, deflate, br' };
  assert.deepEqual(rest, { method: 'GET', headers, body: undefined });
});

test('takes the headers that are given in place of its own', () => {
  const { headers } = made({ headers: { 'User-Agent': 'you', 'X-Key': 'k é' } });
  assert.equal(headers['user-agent'], 'you');
  assert.equal(headers['x-key'], 'k é');
});

test('adds the query', () => {
  const { url } = made({ url: 'https://example.com/?a=0', query: { a: 1, list: ['x y', true], none: [] } });
  assert.equal(url.search, '?a=0&a=1&list=x+y&list=true');
});

test('makes a login in the address a header', () => {
  const login = 'ada:p%40ss';
  const { url, headers } = made({ url: `https://${login}@example.com/` });
  assert.equal(url.href, 'https://example.com/');
  assert.equal(headers.authorization, `Basic ${Buffer.from('ada:p@ss').toString('base64')}`);
  assert.equal(made({ url: 'https://ada@example.com/' }).headers.authorization, `Basic ${Buffer.from('ada:').toString('base64')}`);
  assert.equal(made({ url: 'https://:x@example.com/' }).headers.authorization, `Basic ${Buffer.from(':x').toString('base64')}`);
  assert.equal(made({ url: 'https://ada@example.com/', headers: { Authorization: 'Bearer t' } }).headers.authorization, 'Bearer t');
  assert.equal('authorization' in made({}).headers, false);
});

test('encodes each kind of body', () => {
  const bodies = [
    [{ json: null }, 'null', 'application/json'],
    [{ json: { a: ['ä'] } }, '{"a":["ä"]}', 'application/json'],
    [{ form: { a: 'x&y', b: [1, false] } }, 'a=x%26y&b=1&b=false', 'application/x-www-form-urlencoded'],
    [{ text: 'ä' }, 'ä', 'text/plain; charset=utf-8'],
    [{ base64: 'w6Q=\n' }, 'ä', undefined],
  ];
  for (const [inputs, body, type] of bodies) {
    const request = made({ method: 'POST', ...inputs });
    assert.equal(request.body.toString(), body);
    assert.equal(request.headers['content-type'], type);
  }
  assert.equal(made({ method: 'PUT', json: 1, headers: { 'content-type': 'application/merge-patch+json' } }).headers['content-type'], 'application/merge-patch+json');
});

test('refuses what is no address', () => {
  refused({ url: 'example.com' }, 'url is a full address, like https://api.example.com/items');
  refused({ url: 'ftp://example.com' }, 'url starts with https:// or http://');
  refused({ url: 'file:///etc/passwd' }, 'url starts with https:// or http://');
  refused({ url: 7 }, 'url is a full address, like https://api.example.com/items');
});

test('refuses what is no method, query or header', () => {
  refused({ method: 'TRACE' }, 'method is one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  refused({ query: 'a=1' }, 'query is an object');
  refused({ query: [1] }, 'query is an object');
  refused({ query: { a: { b: 1 } } }, 'query: a is a text, a number, true, false, or a list of these');
  refused({ query: { a: [null] } }, 'query: a is a text, a number, true, false, or a list of these');
  refused({ headers: ['a'] }, 'headers is an object');
  refused({ headers: null, query: null, json: 1 }, 'GET has no body');
  refused({ headers: { 'a b': 'x' } }, '"a b" is no name of a header');
  refused({ headers: { a: 'x\r\nHost: y' } }, 'the header a is a text of one line, in Latin-1');
  refused({ headers: { a: 'x\u2013y' } }, 'the header a is a text of one line, in Latin-1');
  refused({ headers: { a: 1 } }, 'the header a is a text of one line, in Latin-1');
  for (const name of ['Host', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Proxy-Authorization', 'TE', 'Upgrade']) {
    refused({ headers: { [name]: 'x' } }, `the header ${name} is set by the connection itself`);
  }
});

test('refuses what is no body', () => {
  refused({ method: 'POST', json: 1, text: 'x' }, 'json and text cannot both be the body');
  refused({ json: 1 }, 'GET has no body');
  refused({ method: 'HEAD', text: '' }, 'HEAD has no body');
  refused({ method: 'POST', text: 1 }, 'text is a text');
  refused({ method: 'POST', base64: '*' }, 'base64 is not base64');
  refused({ method: 'POST', base64: 'AA=A' }, 'base64 is not base64');
  refused({ method: 'POST', form: 'a' }, 'form is an object');
});
