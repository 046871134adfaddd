// Writes src/domain/schemas.ts from schemas/*.avsc: the domain does no I/O, and the published schemas stay the source.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);

/** The text of src/domain/schemas.ts. */
export function generated() {
  const files = readdirSync(new URL('schemas/', root))
    .filter((name) => name.endsWith('.avsc'))
    .sort();
  const schemas = files.map((file) => {
    const name = file.replace(/\.avsc$/, '').replace(/[._](\w)/g, (_, c) => c.toUpperCase());
    const body = JSON.stringify(JSON.parse(readFileSync(new URL(`schemas/${file}`, root), 'utf8')), undefined, 2);
    return `/** schemas/${file} */\nexport const ${name} = ${body} as const;\n`;
  });
  return `// Generated from schemas/ by \`npm run generate\`. Do not edit.\n\n${schemas.join('\n')}`;
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  writeFileSync(new URL('src/domain/schemas.ts', root), generated());
