// One question to a search service: its answer as text, within a time and a size.
import { Fault } from './fault.mjs';

const MILLISECONDS = 12_000;
const MOST_BYTES = 4 * 2 ** 20;
const BUSY = [202, 418, 429]; // DuckDuckGo answers 202 where it takes us for a robot

export async function ask(url, headers = {}) {
  try {
    const signal = AbortSignal.timeout(MILLISECONDS);
    const response = await fetch(url, { headers: { 'user-agent': process.env.USER_AGENT, ...headers }, redirect: 'manual', signal });
    const text = await read(response);
    if (BUSY.includes(response.status)) throw new Fault('rate-limited', `${url.host} wants no more questions for now: try again in some minutes`);
    if (response.status !== 200) throw new Fault('provider-error', `${url.host} answers with status ${response.status}`);
    return text;
  } catch (error) {
    throw meant(error, url.host);
  }
}

async function read(response) {
  const chunks = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MOST_BYTES) throw new Fault('provider-error', 'the search service sends too much');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

export function meant(error, host) {
  if (error instanceof Fault) return error;
  if (error.name === 'TimeoutError') return new Fault('timeout', `${host} did not answer in time`);
  return new Fault('unreachable', `${host} could not be reached: ${error.cause?.message || error.message}`);
}
