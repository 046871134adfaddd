/** Modules that a user names in the settings: their processors, and their log. */
import { isAbsolute } from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { EdgeProcessor } from '../contract.ts';
import { asError, MeterError } from '../errors.ts';

type Exports = Readonly<Record<string, unknown>>;

/** Throws BAD_CONFIG naming setting and module. */
export async function importModule(setting: string, name: string): Promise<Exports> {
  try {
    return (await import(isAbsolute(name) ? pathToFileURL(name).href : packageUrl(name))) as Exports;
  } catch (cause) {
    throw badModule(setting, name, `it cannot be loaded: ${asError(cause).message}`, cause);
  }
}

/** A package of the user's own program, else one that is installed beside this one. */
function packageUrl(name: string): string {
  try {
    return pathToFileURL(createRequire(`${process.cwd()}/`).resolve(name)).href;
  } catch {
    // Also a package that has no form for `require`: import finds it from here.
    return name;
  }
}

export const badModule = (setting: string, name: string, what: string, cause?: unknown): MeterError =>
  new MeterError('BAD_CONFIG', `load ${name}: ${what}`, { field: setting, value: name, cause });

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Why this is no processor; undefined where it is one. */
function wrongProcessor(given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null) return 'it exports no `processor`';
  const { name, version, process: run } = given as Partial<EdgeProcessor>;
  if (typeof name !== 'string' || !NAME.test(name))
    return 'the name of its processor is not 1 to 64 letters, digits, dots and dashes';
  if (!Number.isInteger(version) || (version ?? 0) < 1 || (version ?? 0) > 2 ** 31 - 1)
    return `the version of processor ${name} is no whole number from 1`;
  return typeof run === 'function' ? undefined : `processor ${name} has no function \`process\``;
}

/** Throws BAD_CONFIG where one is none, or two have the same name. */
export async function loadProcessors(
  modules: readonly string[],
  given: readonly EdgeProcessor[],
): Promise<readonly EdgeProcessor[]> {
  const loaded: EdgeProcessor[] = [];
  const add = (name: string, processor: unknown): void => {
    const wrong = wrongProcessor(processor);
    if (wrong !== undefined) throw badModule('processors', name, wrong);
    loaded.push(processor as EdgeProcessor);
  };
  for (const name of modules) add(name, (await importModule('processors', name)).processor);
  given.forEach((processor, n) => {
    add(`processors[${String(n)}]`, processor);
  });
  const names = loaded.map(({ name }) => name);
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice !== undefined) throw badModule('processors', twice, 'two processors have this name');
  return loaded;
}
