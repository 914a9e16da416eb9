import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist/**', '.tap/**', 'node_modules/**'] }),
  {
    rules: {
      // Long sentences in doc comments are prose; code lines are not meant to be.
      '@stylistic/max-len': ['error', { code: 140, ignoreComments: true, ignoreStrings: true, ignoreTemplateLiterals: true, ignoreRegExpLiterals: true }]
    }
  },
  {
    // Scripts of the live page, as texts.
    files: ['lib/page/assets.ts'],
    rules: { 'no-template-curly-in-string': 'off' }
  },
  {
    files: ['test/**'],
    rules: { '@stylistic/max-len': 'off' }
  }
]
