// A reply as outputs: its body as JSON, as text, or in base64.
'use strict';

const { Fault } = require('./faults.js');

const TEXT = /^text\/|[/+](json|xml|yaml|javascript|x-www-form-urlencoded|graphql|csv|toml)$/;
const AS = ['auto', 'json', 'text', 'base64'];

function told({ status, headers, body }, url, path, as) {
  if (!AS.includes(as)) throw new Fault('invalid-inputs', `as is one of ${AS.join(', ')}`);
  const outputs = { status, ok: status >= 200 && status < 300, url: url.href, headers, bytes: body.length };
  if (path.length) outputs.redirects = path;
  return { ...outputs, ...bodyOf(body, String(headers['content-type'] ?? ''), as) };
}

function bodyOf(body, type, as) {
  if (as === 'base64') return { base64: body.toString('base64') };
  if (!body.length) return as === 'json' ? missing() : { text: '' };
  const kind = type.split(';')[0].trim().toLowerCase();
  const text = textOf(body, type);
  if (as === 'text') return { text: text ?? decoded(body, 'utf-8', false) };
  if (as === 'json' || /[/+]json$/.test(kind)) {
    try {
      return { json: JSON.parse(text) };
    } catch (error) {
      if (as === 'json') throw new Fault('not-json', `the reply is not JSON: ${error.message}`);
    }
  }
  const readable = text !== undefined && (TEXT.test(kind) || !kind || /charset=/i.test(type)) && !text.includes('\0');
  return readable ? { text } : { base64: body.toString('base64') };
}

function missing() {
  throw new Fault('not-json', 'the reply is not JSON: it is empty');
}

// In the charset that the reply names, or UTF-8; undefined where it is not in that.
function textOf(body, type) {
  const charset = /charset="?([^\s";]+)/i.exec(type)?.[1] ?? 'utf-8';
  try {
    return decoded(body, charset, true);
  } catch {
    return undefined;
  }
}

function decoded(body, charset, fatal) {
  return new TextDecoder(charset, { fatal }).decode(body);
}

module.exports = { told };
