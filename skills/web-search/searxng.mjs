// An instance of SearXNG that gives JSON (docs.searxng.org/dev/search_api.html).
import { ask } from './asking.mjs';
import { Fault } from './fault.mjs';

export async function searxng({ query, region, within, safe }) {
  if (!process.env.SEARXNG_URL) throw new Fault('not-set-up', 'PROVIDER is searxng, and SEARXNG_URL in skill.yaml is empty');
  const url = new URL('search', process.env.SEARXNG_URL.replace(/\/*$/, '/'));
  url.searchParams.set('q', query);
  url.searchParams.set('format', 'json');
  url.searchParams.set('safesearch', safe ? '2' : '0');
  if (region) url.searchParams.set('language', language(region));
  if (within) url.searchParams.set('time_range', within);
  const found = read(await ask(url, { accept: 'application/json' }), url);
  return found.filter((one) => /^https?:\/\//.test(one?.url)).map((one) => ({ title: plain(one.title), url: one.url, snippet: plain(one.content) }));
}

// us-en is en-US there.
function language(region) {
  const [country, name] = region.split('-');
  return `${name}-${country.toUpperCase()}`;
}

function read(answer, url) {
  try {
    const { results } = JSON.parse(answer);
    if (Array.isArray(results)) return results;
  } catch {
    // told below
  }
  throw new Fault('provider-error', `${url.host} does not answer in JSON: its settings have to allow the format json`);
}

const plain = (value) => String(value ?? '').replace(/\s+/g, ' ').trim();
