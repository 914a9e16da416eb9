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
    files: ['test/**'],
    rules: { '@stylistic/max-len': 'off' }
  }
]
