// The style of every Node skill. A skill's own configuration and comments do not count.
const node = [
  ...['AbortController', 'AbortSignal', 'Buffer', 'Event', 'EventTarget', 'Intl', 'TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams'],
  ...['atob', 'btoa', 'clearImmediate', 'clearInterval', 'clearTimeout', 'console', 'crypto', 'fetch', 'performance', 'process', 'queueMicrotask'],
  ...['setImmediate', 'setInterval', 'setTimeout', 'structuredClone', 'Headers', 'Request', 'Response', 'FormData', 'Blob', 'WebSocket'],
];
const commonjs = ['require', 'module', 'exports', '__dirname', '__filename'];
const globals = (names) => Object.fromEntries(names.map((name) => [name, 'readonly']));
const wrong = [
  ...['constructor-super', 'for-direction', 'getter-return', 'no-async-promise-executor', 'no-case-declarations', 'no-class-assign'],
  ...['no-compare-neg-zero', 'no-cond-assign', 'no-const-assign', 'no-constant-binary-expression', 'no-control-regex', 'no-debugger'],
  ...['no-delete-var', 'no-dupe-args', 'no-dupe-class-members', 'no-dupe-else-if', 'no-dupe-keys', 'no-duplicate-case', 'no-empty'],
  ...['no-empty-character-class', 'no-empty-pattern', 'no-ex-assign', 'no-fallthrough', 'no-func-assign', 'no-global-assign'],
  ...['no-import-assign', 'no-inner-declarations', 'no-invalid-regexp', 'no-irregular-whitespace', 'no-loss-of-precision'],
  ...['no-misleading-character-class', 'no-new-native-nonconstructor', 'no-obj-calls', 'no-octal', 'no-prototype-builtins'],
  ...['no-redeclare', 'no-regex-spaces', 'no-self-assign', 'no-self-compare', 'no-setter-return', 'no-shadow-restricted-names'],
  ...['no-sparse-arrays', 'no-template-curly-in-string', 'no-this-before-super', 'no-undef', 'no-unexpected-multiline', 'no-unreachable'],
  ...['no-unsafe-finally', 'no-unsafe-negation', 'no-unsafe-optional-chaining', 'no-unused-labels', 'no-useless-backreference'],
  ...['no-useless-catch', 'no-useless-escape', 'no-var', 'no-with', 'prefer-const', 'require-yield', 'use-isnan', 'valid-typeof'],
];
const rules = {
  ...Object.fromEntries(wrong.map((name) => [name, 'error'])),
  eqeqeq: ['error', 'always', { null: 'ignore' }],
  'no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }],
};

export default [
  { files: ['**/*.js', '**/*.cjs'], rules, languageOptions: { sourceType: 'commonjs', globals: globals([...node, ...commonjs]) } },
  { files: ['**/*.mjs'], rules, languageOptions: { sourceType: 'module', globals: globals(node) } },
];
