'use strict';

const assert = require('node:assert/strict');
const test = require('node:test');

const { execute } = require('../skill.js');
const { served } = require('./served.js');

process.env.RETRY_MILLISECONDS = '1';

// Answers with each of `replies` in turn, and then with the last.
function turns(...replies) {
  let turn = 0;
  return (_, response) => {
    const [status, headers, body] = replies[Math.min(turn, replies.length - 1)];
    turn += 1;
    if (status === 0) return response.destroy();
    response.sendDate = false;
    response.writeHead(status, headers);
    return response.end(body ?? '');
  };
}

test('gives JSON as JSON', async (t) => {
  const { url, asked } = await served(t, turns([200, { 'content-type': 'application/problem+json', 'content-length': 8 }, '{"a": 1}']));
  assert.deepEqual(await execute({ url, query: { b: 2 } }, {}), {
    status: 200, ok: true, url: `${url}/?b=2`, headers: { 'content-type': 'application/problem+json', 'content-length': '8' }, bytes: 8, json: { a: 1 },
  });
  assert.equal(asked[0].headers['user-agent'], process.env.USER_AGENT);
});

test('gives the body as it is asked for', async (t) => {
  const body = async (type, bytes, as) => {
    const { url } = await served(t, turns([200, type ? { 'content-type': type } : {}, bytes]));
    const { json, text, base64 } = await execute({ url, ...(as ? { as } : {}) }, {});
    return { json, text, base64 };
  };
  const only = (given) => ({ json: undefined, text: undefined, base64: undefined, ...given });
  assert.deepEqual(await body('text/html', '<p>ä'), only({ text: '<p>ä' }));
  assert.deepEqual(await body('text/plain; charset="ISO-8859-1"', Buffer.from([0xe4])), only({ text: 'ä' }));
  assert.deepEqual(await body('application/octet-stream; charset=utf-8', 'x'), only({ text: 'x' }));
  assert.deepEqual(await body('', 'x'), only({ text: 'x' }));
  assert.deepEqual(await body('', Buffer.from([0, 65])), only({ base64: 'AEE=' }));
  assert.deepEqual(await body('', Buffer.from([0xff])), only({ base64: '/w==' }));
  assert.deepEqual(await body('image/png', 'x'), only({ base64: 'eA==' }));
  assert.deepEqual(await body('application/json', '{'), only({ text: '{' }));
  assert.deepEqual(await body('application/xml', '<a/>'), only({ text: '<a/>' }));
  assert.deepEqual(await body('text/plain; charset=klingon', 'x'), only({ base64: 'eA==' }));
  assert.deepEqual(await body('image/png', '', 'auto'), only({ text: '' }));
  assert.deepEqual(await body('text/plain', '[1]', 'json'), only({ json: [1] }));
  assert.deepEqual(await body('image/png', Buffer.from([0xff, 65]), 'text'), only({ text: '\ufffdA' }));
  assert.deepEqual(await body('text/plain', 'x', 'base64'), only({ base64: 'eA==' }));
  await assert.rejects(body('text/plain', 'x', 'json'), { code: 'not-json', message: /^the reply is not JSON: / });
  await assert.rejects(body('text/plain', '', 'json'), { code: 'not-json', message: 'the reply is not JSON: it is empty' });
  await assert.rejects(body('text/plain', 'x', 'xml'), { code: 'invalid-inputs', message: 'as is one of auto, json, text, base64' });
});

test('tells a refusal as a reply', async (t) => {
  for (const [status, ok] of [[199 + 1, true], [299, true], [300, false], [404, false]]) {
    const { url } = await served(t, turns([status, {}, 'x']));
    const reply = await execute({ url }, {});
    assert.deepEqual([reply.status, reply.ok, reply.bytes, 'redirects' in reply], [status, ok, 1, false]);
  }
});

test('tries again where that is safe', async (t) => {
  for (const broken of [[429, {}], [502, {}], [503, { 'retry-after': '0' }], [504, { 'retry-after': 'soon' }], [0]]) {
    const { url, asked } = await served(t, turns(broken, broken, [200, {}, 'x']));
    assert.equal((await execute({ url, method: 'PUT', text: 'y' }, {})).status, 200);
    assert.equal(asked.length, 3);
    assert.equal(asked[2].body.toString(), 'y');
  }
});

test('tries only so often', async (t) => {
  const busy = await served(t, turns([503, {}, 'x']));
  assert.equal((await execute({ url: busy.url, retries: 1 }, {})).status, 503);
  assert.equal(busy.asked.length, 2);
  const broken = await served(t, turns([0]));
  await assert.rejects(execute({ url: broken.url }, {}), { code: 'unreachable' });
  assert.equal(broken.asked.length, 3);
});

test('does not try again what may do something twice, or cannot help', async (t) => {
  for (const method of ['POST', 'PATCH']) {
    const { url, asked } = await served(t, turns([503, {}]));
    assert.equal((await execute({ url, method, json: 1 }, {})).status, 503);
    assert.equal(asked.length, 1);
  }
  const { url, asked } = await served(t, turns([500, {}, 'x']));
  assert.equal((await execute({ url }, {})).status, 500);
  assert.equal(asked.length, 1);
  const large = await served(t, turns([200, {}, 'xx']));
  await assert.rejects(execute({ url: large.url, max_bytes: 1 }, {}), { code: 'too-large' });
  assert.equal(large.asked.length, 1);
});

test('waits as long as it is asked to, but not past its time', async (t) => {
  const { url } = await served(t, turns([503, { 'retry-after': '1' }], [200, {}]));
  const started = performance.now();
  assert.equal((await execute({ url }, {})).status, 200);
  assert.ok(performance.now() - started >= 990);
  const long = await served(t, turns([503, { 'retry-after': '60' }]));
  await assert.rejects(execute({ url: long.url, timeout: 1 }, {}), { code: 'timeout', message: 'no full reply came in time' });
  const silent = await served(t, () => {});
  await assert.rejects(execute({ url: silent.url, timeout: 1 }, {}), { code: 'timeout' });
  assert.equal(silent.asked.length, 1);
});

test('follows redirects and tells them', async (t) => {
  const { url, asked } = await served(t, turns([302, { location: '/b' }], [307, { location: 'c?d=1' }], [200, { 'content-type': 'text/plain' }, 'here']));
  const reply = await execute({ url: `${url}/a`, headers: { authorization: 'x' } }, {});
  assert.deepEqual([reply.url, reply.redirects, reply.text], [`${url}/c?d=1`, [`${url}/a`, `${url}/b`], 'here']);
  assert.equal(asked[2].headers.authorization, 'x');
});

test('keeps or drops method and body as the status says', async (t) => {
  const sent = async (status, method) => {
    const { url, asked } = await served(t, turns([status, { location: '/b' }], [200, {}]));
    await execute({ url, method, ...(method === 'HEAD' ? {} : { text: 'y' }) }, {});
    return [asked[1].method, asked[1].body.toString(), 'content-type' in asked[1].headers];
  };
  for (const status of [301, 302, 303]) assert.deepEqual(await sent(status, 'POST'), ['GET', '', false]);
  for (const status of [307, 308]) assert.deepEqual(await sent(status, 'POST'), ['POST', 'y', true]);
  assert.deepEqual(await sent(301, 'PUT'), ['PUT', 'y', true]);
  assert.deepEqual(await sent(303, 'PUT'), ['GET', '', false]);
  assert.deepEqual(await sent(303, 'HEAD'), ['HEAD', '', false]);
});

test('keeps what is private from other hosts', async (t) => {
  const other = await served(t, turns([200, {}]));
  const { url } = await served(t, turns([302, { location: other.url }]));
  await execute({ url, headers: { Authorization: 'x', Cookie: 'y', 'X-Z': 'z' } }, {});
  const { authorization, cookie, 'x-z': z } = other.asked[0].headers;
  assert.deepEqual([authorization, cookie, z], [undefined, undefined, 'z']);
});

test('follows only so many redirects, and only to addresses', async (t) => {
  const round = await served(t, turns([302, { location: '/b' }]));
  await assert.rejects(execute({ url: round.url, redirects: 2 }, {}), { code: 'too-many-redirects', message: 'it leads on after 2 redirects, to /b' });
  assert.equal(round.asked.length, 3);
  const { status, redirects } = await execute({ url: round.url, redirects: 0 }, {});
  assert.deepEqual([status, redirects], [302, undefined]);
  const nowhere = await served(t, turns([302, {}, 'x']));
  assert.equal((await execute({ url: nowhere.url }, {})).status, 302);
  const file = await served(t, turns([302, { location: 'file:///etc/passwd' }]));
  await assert.rejects(execute({ url: file.url }, {}), { code: 'bad-reply', message: 'it leads to "file:///etc/passwd", which is no address' });
});

test('refuses numbers that are out of bounds', async () => {
  const cases = [['timeout', 1, 60], ['max_bytes', 1, 4_194_304], ['redirects', 0, 10], ['retries', 0, 5]];
  for (const [name, least, most] of cases) {
    for (const value of [least - 1, most + 1, 1.5, '2']) {
      const message = `${name} is a whole number from ${least} to ${most}`;
      await assert.rejects(execute({ url: 'http://127.0.0.1:9', [name]: value }, {}), { code: 'invalid-inputs', message });
    }
    for (const value of [least, most]) {
      const inputs = { url: 'http://127.0.0.1:9', retries: 0, [name]: value };
      await assert.rejects(execute(inputs, {}), { code: 'unreachable' });
    }
  }
});
