import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const LAYERS = [
  'main',
  'library',
  'conformance',
  'log-module',
  'cli',
  'topology',
  'sources',
  'processors',
  'sinks',
  'serving',
  'batch',
  'embedded',
  'observe',
  'verify',
  'runtime',
];

/** What no part of the system reaches up to. */
const ABOVE = ['main', 'library', 'conformance', 'log-module', 'cli', 'topology'];

/** Imports point one way: each folder names the layers that it may not reach up to. */
const mayNotImport = (files, layers) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            regex: `^(\\.\\.?/)+(${layers.join('|')})(/|\\.ts$)`,
            message:
              'Imports point one way: main → topology → {sources, processors, sinks, serving, batch} → {contract, domain}; see docs/ARCHITECTURE.md.',
          },
        ],
      },
    ],
  },
});

const clockOnly = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: 'Time comes from the Clock.',
  },
  { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Time comes from the Clock.' },
  { selector: "CallExpression[callee.name='setTimeout']", message: 'Time comes from the Clock.' },
  { selector: "CallExpression[callee.name='setInterval']", message: 'Time comes from the Clock.' },
  {
    selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
    message: 'Randomness is passed in.',
  },
  { selector: "CallExpression[callee.name='parseFloat']", message: 'No float touches a quantity or money.' },
];

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'node_modules/', '**/*.d.ts'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/prefer-readonly': 'error',
      '@typescript-eslint/only-throw-error': ['error', { allowThrowingUnknown: true }],
      '@typescript-eslint/prefer-promise-reject-errors': ['error', { allowThrowingUnknown: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true, ignoreVoidOperator: true }],
      '@typescript-eslint/no-meaningless-void-operator': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-control-regex': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/clock.ts', 'src/main.ts', 'src/conformance/**', 'src/**/*.test.ts'],
    rules: {
      'no-restricted-syntax': ['error', ...clockOnly],
      'no-restricted-properties': [
        'error',
        { object: 'process', property: 'env', message: 'Settings come from config.ts.' },
        { object: 'process', property: 'argv', message: 'Only main.ts reads argv.' },
        { object: 'process', property: 'exit', message: 'Set an exit code in main.ts; let the process drain.' },
      ],
    },
  },
  // First: the rules below replace it for their files. The suites need vitest, which no program that runs has.
  mayNotImport(['src/*.ts', 'src/cli/**/*.ts', 'src/observe/**/*.ts'], ['conformance']),
  mayNotImport(
    ['src/conformance/**/*.ts'],
    LAYERS.filter((layer) => layer !== 'conformance'),
  ),
  mayNotImport(['src/domain/**/*.ts'], LAYERS),
  mayNotImport(['src/contract.ts', 'src/errors.ts', 'src/clock.ts'], LAYERS),
  mayNotImport(
    ['src/runtime/**/*.ts'],
    LAYERS.filter((layer) => layer !== 'runtime'),
  ),
  mayNotImport(
    ['src/sources/**/*.ts', 'src/processors/**/*.ts'],
    [...ABOVE, 'runtime', 'serving', 'batch', 'verify', 'embedded'],
  ),
  mayNotImport(
    ['src/sinks/**/*.ts'],
    [...ABOVE, 'runtime', 'serving', 'batch', 'verify', 'embedded', 'sources', 'processors'],
  ),
  mayNotImport(['src/batch/**/*.ts', 'src/serving/**/*.ts', 'src/embedded/**/*.ts'], [...ABOVE, 'runtime']),
  mayNotImport(['src/verify/**/*.ts'], [...ABOVE, 'runtime', 'serving', 'batch', 'sinks', 'embedded']),
  {
    files: ['**/*.test.ts', 'src/conformance/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.mjs', '**/*.js', '**/*.cjs'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'Buffer',
          'URL',
          'URLSearchParams',
          'fetch',
          'setTimeout',
          'clearTimeout',
          'setInterval',
          'clearInterval',
          'performance',
          'AbortController',
          'AbortSignal',
          'TextDecoder',
          'TextEncoder',
          'setImmediate',
          'structuredClone',
          'queueMicrotask',
          'Response',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
);
