// DuckDuckGo's page for browsers without JavaScript.
import { parse } from 'parse5';

import { ask } from './asking.mjs';
import { Fault } from './fault.mjs';

const WITHIN = { day: 'd', week: 'w', month: 'm', year: 'y' };

export async function duckduckgo({ query, region, within, safe }) {
  const url = new URL(process.env.DUCKDUCKGO_URL);
  url.searchParams.set('q', query);
  url.searchParams.set('kp', safe ? '1' : '-2');
  if (region) url.searchParams.set('kl', region);
  if (within) url.searchParams.set('df', WITHIN[within]);
  return results(await ask(url, { accept: 'text/html', 'accept-language': language(region) }), url);
}

// us-en: a country and a language.
function language(region) {
  return region ? region.split('-')[1] : 'en';
}

function results(html, base) {
  const page = parse(html);
  const found = all(page, 'result').filter((result) => !classes(result).includes('result--ad'));
  if (!found.length && !all(page, 'no-results').length) {
    const challenged = all(page, 'anomaly-modal__title').length > 0;
    if (challenged) throw new Fault('rate-limited', `${base.host} wants to see a person: try again in some minutes`);
    throw new Fault('provider-error', `${base.host} sends a page without results: its form may have changed`);
  }
  return found.flatMap((result) => {
    const [link] = all(result, 'result__a');
    const [snippet] = all(result, 'result__snippet');
    const url = link && target(attribute(link, 'href'), base);
    return url ? [{ title: text(link), url, snippet: snippet ? text(snippet) : '' }] : [];
  });
}

// Links lead through a page that counts them; where to is in the query.
function target(href, base) {
  if (!URL.canParse(href, base)) return undefined;
  const url = new URL(href, base);
  const wanted = url.searchParams.get('uddg') ?? url.href;
  return /^https?:\/\//.test(wanted) && URL.canParse(wanted) ? wanted : undefined;
}

// ---- the tree

function* nodes(node) {
  for (const child of node.childNodes ?? []) {
    yield child;
    yield* nodes(child);
  }
}

const attribute = (node, name) => node.attrs?.find((one) => one.name === name)?.value ?? '';
const classes = (node) => attribute(node, 'class').split(/\s+/);
const all = (node, name) => [...nodes(node)].filter((inner) => classes(inner).includes(name));

function text(node) {
  const pieces = [...nodes(node)].filter((inner) => inner.nodeName === '#text').map((inner) => inner.value);
  return pieces.join('').replace(/\s+/g, ' ').trim();
}
