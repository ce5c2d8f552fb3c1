import assert from 'node:assert/strict';
import test from 'node:test';

import { meant } from '../asking.mjs';
import { execute } from '../skill.mjs';
import { served } from './served.mjs';

const page = (...results) => [200, { 'content-type': 'text/html' }, `<html><div class="results">${results.join('')}</div></html>`];
const result = (href, title, snippet = '', more = '') =>
  `<div class="result web-result ${more}"><h2><a class="x result__a" href="${href}">${title}</a></h2>${snippet && `<a class="result__snippet">${snippet}</a>`}</div>`;

async function duck(t, reply, inputs = {}) {
  const { url, asked } = await served(t, reply);
  process.env.PROVIDER = 'duckduckgo';
  process.env.DUCKDUCKGO_URL = `${url}/html/`;
  return { asked, outputs: await execute({ query: 'pens', ...inputs }, {}) };
}

async function searx(t, reply, inputs = {}) {
  const { url, asked } = await served(t, reply);
  process.env.PROVIDER = 'searxng';
  process.env.SEARXNG_URL = `${url}/sub`;
  return { asked, outputs: await execute({ query: 'pens', ...inputs }, {}) };
}

const json = (document) => [200, { 'content-type': 'application/json' }, JSON.stringify(document)];

// ---- DuckDuckGo

test('reads the results of DuckDuckGo', async (t) => {
  const { outputs, asked } = await duck(t, page(
    result('//duckduckgo.com/l/?uddg=https%3A%2F%2Fa.example%2F%3Fb%3D1%26c&amp;rut=1', 'A &amp;\n <b>B</b>', 'some <b>words</b>'),
    result('https://ad.example/', 'Ad', 'buy', 'result--ad'),
    result('http://c.example/x', 'C'),
    result('javascript:alert(1)', 'D'),
    result('//duckduckgo.com/l/?uddg=ftp%3A%2F%2Fe.example', 'E'),
    result('http://[bad', 'F'),
    '<div class="result">nothing</div>',
    result('http://c.example/x', 'C again', 'later'),
  ));
  assert.deepEqual(outputs, {
    provider: 'duckduckgo',
    results: [{ title: 'A & B', url: 'https://a.example/?b=1&c', snippet: 'some words' }, { title: 'C', url: 'http://c.example/x', snippet: '' }],
  });
  assert.equal(asked[0].url.pathname, '/html/');
  assert.deepEqual(Object.fromEntries(asked[0].url.searchParams), { q: 'pens', kp: '1' });
  assert.deepEqual([asked[0].headers['user-agent'], asked[0].headers.accept, asked[0].headers['accept-language']], [process.env.USER_AGENT, 'text/html', 'en']);
});

test('asks DuckDuckGo for what is wanted', async (t) => {
  for (const [within, letter] of [['day', 'd'], ['week', 'w'], ['month', 'm'], ['year', 'y']]) {
    const { asked } = await duck(t, page(result('https://a.example', 'A')), { query: ' x ', region: 'at-de', within, safe: false, site: 'docs.example.com' });
    assert.deepEqual(Object.fromEntries(asked[0].url.searchParams), { q: 'x site:docs.example.com', kp: '-2', kl: 'at-de', df: letter });
    assert.equal(asked[0].headers['accept-language'], 'de');
  }
});

test('gives only so many', async (t) => {
  const many = Array.from({ length: 40 }, (_, number) => result(`https://${number}.example/`, `T${number}`));
  const count = async (inputs) => (await duck(t, page(...many), inputs)).outputs.results.length;
  assert.deepEqual([await count(), await count({ limit: 1 }), await count({ limit: 30 })], [10, 1, 30]);
});

test('knows when nothing is found', async (t) => {
  const { outputs } = await duck(t, page('<div class="no-results">No results.</div>'));
  assert.deepEqual(outputs.results, []);
});

test('says that DuckDuckGo wants a person, or has changed', async (t) => {
  await assert.rejects(duck(t, page('<div class="anomaly-modal__title">Unfortunately, bots …</div>')), {
    code: 'rate-limited', message: /^127\.0\.0\.1:\d+ wants to see a person: try again in some minutes$/,
  });
  await assert.rejects(duck(t, page('<p>welcome</p>')), {
    code: 'provider-error', message: /^127\.0\.0\.1:\d+ sends a page without results: its form may have changed$/,
  });
});

test('says what the service refuses', async (t) => {
  for (const status of [202, 418, 429]) {
    await assert.rejects(duck(t, [status, {}, 'x']), { code: 'rate-limited', message: /wants no more questions for now: try again in some minutes$/ });
  }
  for (const status of [500, 403, 302, 204]) {
    await assert.rejects(duck(t, [status, { location: '/x' }]), { code: 'provider-error', message: new RegExp(`answers with status ${status}$`) });
  }
  await assert.rejects(duck(t, [200, {}, 'x'.repeat(4 * 2 ** 20 + 1)]), { code: 'provider-error', message: 'the search service sends too much' });
  const { outputs } = await duck(t, page(result('https://a.example', 'A'), ' '.repeat(4 * 2 ** 20 - 200)));
  assert.equal(outputs.results.length, 1);
});

test('says that the service is out of reach', async () => {
  process.env.PROVIDER = 'duckduckgo';
  process.env.DUCKDUCKGO_URL = 'http://127.0.0.1:9/';
  await assert.rejects(execute({ query: 'x' }, {}), { code: 'unreachable', message: /^127\.0\.0\.1:9 could not be reached: / });
  const late = Object.assign(new Error('x'), { name: 'TimeoutError' });
  assert.deepEqual([meant(late, 'h').code, meant(late, 'h').message], ['timeout', 'h did not answer in time']);
  assert.equal(meant(new Error('a', { cause: new Error('b') }), 'h').message, 'h could not be reached: b');
  assert.equal(meant(new Error('a', { cause: new Error('') }), 'h').message, 'h could not be reached: a');
  assert.equal(meant(new Error('a'), 'h').message, 'h could not be reached: a');
});

// ---- SearXNG

test('reads the results of SearXNG', async (t) => {
  const { outputs, asked } = await searx(t, json({ results: [
    { title: 'A\n b', url: 'https://a.example/', content: ' some  words', engine: 'x' },
    { title: 'C', url: 'magnet:?x' }, { title: 'D' }, null, { url: 'http://e.example' },
  ] }));
  assert.deepEqual(outputs, {
    provider: 'searxng',
    results: [{ title: 'A b', url: 'https://a.example/', snippet: 'some words' }, { title: '', url: 'http://e.example', snippet: '' }],
  });
  assert.equal(asked[0].url.pathname, '/sub/search');
  assert.deepEqual(Object.fromEntries(asked[0].url.searchParams), { q: 'pens', format: 'json', safesearch: '2' });
  assert.equal(asked[0].headers.accept, 'application/json');
});

test('asks SearXNG for what is wanted', async (t) => {
  const { asked } = await searx(t, json({ results: [] }), { region: 'us-en', within: 'week', safe: false });
  assert.deepEqual(Object.fromEntries(asked[0].url.searchParams), { q: 'pens', format: 'json', safesearch: '0', language: 'en-US', time_range: 'week' });
});

test('says that SearXNG gives no JSON', async (t) => {
  const message = /does not answer in JSON: its settings have to allow the format json$/;
  await assert.rejects(searx(t, [200, {}, '<html>']), { code: 'provider-error', message });
  await assert.rejects(searx(t, json({})), { code: 'provider-error', message });
});

test('says what is not set up', async () => {
  process.env.PROVIDER = 'searxng';
  process.env.SEARXNG_URL = '';
  await assert.rejects(execute({ query: 'x' }, {}), { code: 'not-set-up', message: 'PROVIDER is searxng, and SEARXNG_URL in skill.yaml is empty' });
  process.env.PROVIDER = 'toString';
  await assert.rejects(execute({ query: 'x' }, {}), { code: 'not-set-up', message: 'PROVIDER in skill.yaml is one of duckduckgo, searxng' });
});

// ---- inputs

test('refuses wrong inputs', async (t) => {
  const cases = [
    [{ query: '' }, 'query is a text of at most 400 letters'],
    [{ query: ' ' }, 'query is a text of at most 400 letters'],
    [{ query: 7 }, 'query is a text of at most 400 letters'],
    [{ query: 'x'.repeat(401) }, 'query is a text of at most 400 letters'],
    [{ region: 'us' }, 'region is a country and a language, like us-en'],
    [{ region: 'us-en-x' }, 'region is a country and a language, like us-en'],
    [{ within: 'hour' }, 'within is one of day, week, month, year'],
    [{ site: 'https://x.example' }, 'site is the name of a host, like docs.example.com'],
    [{ site: 'localhost' }, 'site is the name of a host, like docs.example.com'],
    ...[0, 31, 1.5, '3'].map((limit) => [{ limit }, 'limit is a whole number from 1 to 30']),
  ];
  for (const [inputs, message] of cases) await assert.rejects(execute({ query: 'x', ...inputs }, {}), { code: 'invalid-inputs', message });
  const { outputs } = await searx(t, json({ results: [] }), { query: 'x'.repeat(400) });
  assert.deepEqual(outputs.results, []);
});
