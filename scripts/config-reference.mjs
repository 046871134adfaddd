// Writes docs/configuration.md from the settings: npm run generate. Reads the build, so build first.
import { writeFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);

const shown = (value) => (value === undefined || String(value) === '' ? '–' : `\`${String(value)}\``);

/** The text of docs/configuration.md. */
export async function generated() {
  const { SETTINGS } = await import(new URL('dist/settings.js', root));
  const { envName } = await import(new URL('dist/config.js', root));
  const rows = SETTINGS.map((s) => {
    const bounds =
      s.type === 'integer'
        ? ` ${s.zero ? '0, or ' : ''}${s.least ?? 0} to ${s.most ?? '2^53 - 1'}.`
        : s.choices
          ? ` One of ${s.choices.join(', ')}.`
          : '';
    const marks = `${s.fixed ? ' **Fixed at the first start.**' : ''}${s.secret ? ' Secret: printed masked.' : ''}`;
    return `| \`${s.name}\` | \`${envName(s.name)}\` | ${shown(s.default)} | ${s.description}${bounds}${marks} |`;
  });
  return `# Configuration

Generated from \`src/settings.ts\` by \`npm run generate\`. Do not edit.

Flags win over the environment, the environment over the file (\`--config FILE\` or \`METERFOLD_CONFIG_FILE\`, YAML with the names below), the file over
the defaults. \`meterfold config\` prints what is in force, or everything that is wrong with it at once. Unknown settings are refused.

| setting | environment | default | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  writeFileSync(new URL('docs/configuration.md', root), await generated());
