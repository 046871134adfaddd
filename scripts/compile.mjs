// Compiles src and test/simulation, file by file, into a directory of its own: what the simulation and the mutants run on.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const root = fileURLToPath(new URL('../', import.meta.url));

const options = {
  module: ts.ModuleKind.ESNext,
  target: ts.ScriptTarget.ES2022,
  rewriteRelativeImportExtensions: true,
  verbatimModuleSyntax: true,
  inlineSourceMap: true,
};

export function compileFile(to, file, text = readFileSync(join(root, file), 'utf8')) {
  const out = join(to, file.replace(/\.ts$/, '.js'));
  mkdirSync(dirname(out), { recursive: true });
  const fileName = join(root, file);
  writeFileSync(out, ts.transpileModule(text, { compilerOptions: options, fileName }).outputText);
}

const filesIn = (folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(folder, name));

/** Only what the simulation reaches; the rest of src needs servers. */
const FOLDERS = ['src/domain', 'src/runtime', 'src/processors', 'src/sinks/memory', 'src/sinks/speed', 'src/sinks/archive'];
const MORE = ['src/batch', 'src/serving', 'test/simulation', 'test/support'];
const SINGLE = ['src/clock.ts', 'src/contract.ts', 'src/errors.ts', 'src/topology.ts', 'src/conformance/places.ts'];

/** Answers the directory, and how to remove it. */
export function compile() {
  const to = mkdtempSync(join(tmpdir(), 'meterfold-simulation-'));
  for (const file of [...[...FOLDERS, ...MORE].flatMap(filesIn), ...SINGLE]) compileFile(to, file);
  writeFileSync(join(to, 'package.json'), '{"type":"module"}');
  symlinkSync(join(root, 'node_modules'), join(to, 'node_modules'));
  return { to, remove: () => rmSync(to, { recursive: true, force: true }) };
}
