// Reads JavaScript and runs none of it: `node --expose-internals parse.js`, the sources on stdin as JSON, their syntax
// trees on stdout, a line of JSON each.
// The parser is the one that Node itself carries (its REPL uses it); the tree is ESTree (github.com/estree/estree).
'use strict';

const { Parser } = require('internal/deps/acorn/acorn/dist/acorn');

function parse({ source, module }) {
  const onComment = (block, text, start, end, place) => {
    if (block || /^(\/\/|#!)/.test(source.slice(start, start + 2))) return;
    throw Object.assign(new SyntaxError('a comment of HTML, which is code where the file is read as a module'), { loc: place });
  };
  const options = { ecmaVersion: 'latest', sourceType: module ? 'module' : 'script', locations: true, allowHashBang: true, onComment };
  try {
    return JSON.stringify({ tree: Parser.parse(source, module ? options : { ...options, allowReturnOutsideFunction: true }) }, plain);
  } catch (error) {
    return JSON.stringify({ error: error.message, line: error.loc?.line ?? null });
  }
}

function plain(_, value) {
  return typeof value === 'bigint' || value instanceof RegExp ? String(value) : value;
}

const chunks = [];
process.stdin.on('data', (chunk) => chunks.push(chunk));
process.stdin.on('end', () => {
  for (const source of JSON.parse(Buffer.concat(chunks))) process.stdout.write(`${parse(source)}\n`);
});
