// Searches the web by the service that the settings name.
import { duckduckgo } from './duckduckgo.mjs';
import { Fault } from './fault.mjs';
import { searxng } from './searxng.mjs';

const PROVIDERS = { duckduckgo, searxng };
const WITHIN = ['day', 'week', 'month', 'year'];

export async function execute(inputs, _context) {
  const { query, region = '', within = '', safe = true, limit = 10, site = '' } = inputs;
  if (typeof query !== 'string' || !query.trim() || query.length > 400) throw wrong('query is a text of at most 400 letters');
  if (region && !/^[a-z]{2}-[a-z]{2}$/.test(region)) throw wrong('region is a country and a language, like us-en');
  if (within && !WITHIN.includes(within)) throw wrong(`within is one of ${WITHIN.join(', ')}`);
  if (site && !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(site)) throw wrong('site is the name of a host, like docs.example.com');
  if (!Number.isInteger(limit) || limit < 1 || limit > 30) throw wrong('limit is a whole number from 1 to 30');
  const provider = process.env.PROVIDER;
  if (!Object.hasOwn(PROVIDERS, provider)) throw new Fault('not-set-up', `PROVIDER in skill.yaml is one of ${Object.keys(PROVIDERS).join(', ')}`);
  const words = site ? `${query.trim()} site:${site}` : query.trim();
  const found = await PROVIDERS[provider]({ query: words, region, within, safe: Boolean(safe) });
  return { provider, results: distinct(found).slice(0, limit) };
}

function distinct(results) {
  return [...new Map(results.toReversed().map((result) => [result.url, result])).values()].toReversed();
}

const wrong = (message) => new Fault('invalid-inputs', message);
