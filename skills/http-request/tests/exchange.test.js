'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');
const zlib = require('node:zlib');

const { meant, Fault } = require('../faults.js');
const { exchange } = require('../sending.js');
const { saying, served } = require('./served.js');

const soon = () => AbortSignal.timeout(5000);
const get = (url, options = {}) => exchange({ url: new URL(url), method: 'GET', headers: {}, ...options }, { maxBytes: 1000, signal: soon(), ...options });

test('sends a request and reads its reply', async (t) => {
  const { url, asked } = await served(t, (_, response) => {
    response.writeHead(201, [['X-A', '1'], ['Set-Cookie', 'a'], ['set-cookie', 'b'], ['SET-COOKIE', 'c']].flat());
    response.end('made');
  });
  const reply = await get(`${url}/x?y=1`, { method: 'PUT', headers: { 'x-b': '2' }, body: Buffer.from('body') });
  assert.deepEqual([reply.status, reply.body.toString(), reply.headers['x-a'], reply.headers['set-cookie']], [201, 'made', '1', ['a', 'b', 'c']]);
  const [{ method, url: path, headers, body }] = asked;
  assert.deepEqual([method, path, headers['x-b'], headers['content-length'], body.toString()], ['PUT', '/x?y=1', '2', '4', 'body']);
});

test('unpacks what is packed', async (t) => {
  const packed = { gzip: zlib.gzipSync, 'X-GZIP': zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync };
  const { url } = await served(t, (request, response) => {
    const how = decodeURIComponent(request.url.slice(1));
    response.setHeader('Content-Encoding', how);
    response.end(packed[how]?.('plain') ?? 'as it is');
  });
  for (const how of Object.keys(packed)) assert.equal((await get(`${url}/${how}`)).body.toString(), 'plain');
  assert.equal((await get(`${url}/identity`)).body.toString(), 'as it is');
});

test('reads no more than is allowed', async (t) => {
  const { url } = await served(t, (request, response) => {
    if (request.url === '/packed') {
      response.setHeader('content-encoding', 'gzip');
      response.end(zlib.gzipSync(Buffer.alloc(1_000_000)));
    } else response.end(Buffer.alloc(1000));
  });
  assert.equal((await get(url)).body.length, 1000);
  await assert.rejects(get(url, { maxBytes: 999 }), { code: 'too-large', message: 'the reply has more than 999 bytes: raise max_bytes, or ask for less' });
  await assert.rejects(get(`${url}/packed`), { code: 'too-large' });
});

test('expects no body after HEAD', async (t) => {
  const { url } = await served(t, (_, response) => {
    response.writeHead(200, { 'content-length': '999999', 'content-encoding': 'gzip' });
    response.end();
  });
  const reply = await get(url, { method: 'HEAD' });
  assert.deepEqual([reply.body.length, reply.headers['content-length']], [0, '999999']);
});

test('says what went wrong', async (t) => {
  await assert.rejects(get('http://127.0.0.1:9'), { code: 'unreachable', message: /^127\.0\.0\.1:9 could not be reached: .*ECONNREFUSED/ });
  await assert.rejects(get('http://nowhere.invalid'), { code: 'unknown-host', message: 'there is no host nowhere.invalid, or this skill may not reach it' });
  await assert.rejects(get(await saying(t, 'SSH-2.0\r\n')), { code: 'bad-reply', message: /does not reply as HTTP asks/ });
  await assert.rejects(get(await saying(t, '')), { code: 'unreachable' });
  const cut = await saying(t, 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx');
  await assert.rejects(get(cut), { code: 'unreachable' });
  const garbled = await saying(t, 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx');
  await assert.rejects(get(garbled), { code: 'bad-reply' });
  const { url } = await served(t, () => {});
  await assert.rejects(get(url, { signal: AbortSignal.timeout(50) }), { code: 'timeout', message: 'no full reply came in time' });
});

test('knows what errors of certificates mean', () => {
  for (const code of ['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
    const { code: told, message } = meant(Object.assign(new Error('old'), { code }), 'h');
    assert.deepEqual([told, message], ['bad-certificate', 'h cannot prove who it is: old']);
  }
  assert.equal(meant(new Fault('mine', 'x'), 'h').code, 'mine');
  assert.equal(meant(Object.assign(new Error('x'), { code: 'EAI_AGAIN' }), 'h').code, 'unknown-host');
  assert.equal(meant(Object.assign(new Error('x'), { name: 'AbortError' }), 'h').code, 'timeout');
  assert.equal(meant(Object.assign(new Error('x'), { name: 'TimeoutError' }), 'h').code, 'timeout');
  assert.equal(meant(Object.assign(new Error(''), { code: 'EPIPE' }), 'h').message, 'h could not be reached: EPIPE');
});

test('speaks TLS where the address asks for it', async (t) => {
  const plain = await saying(t, 'no TLS at all');
  await assert.rejects(get(plain.replace('http:', 'https:')), { code: 'unreachable', message: /SSL|wrong version number|packet length/ });
});

test('leaves out the headers of the connection', async (t) => {
  const { url } = await served(t, (_, response) => {
    response.writeHead(200, { connection: 'close', 'Keep-Alive': 'timeout=5', 'Transfer-Encoding': 'chunked', 'x-a': '1', date: 'today' });
    response.end('x');
  });
  assert.deepEqual((await get(url)).headers, { 'x-a': '1', date: 'today' });
});
