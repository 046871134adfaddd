/** promtool for the suites: METERFOLD_TEST_PROMTOOL, else the one on the PATH, from the package manager where CI=true or MF_SERVICES=fetch. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, describe } from 'vitest';
import { aptInstall, mayFetch, missing, report } from './services.ts';

const program = process.env.METERFOLD_TEST_PROMTOOL ?? 'promtool';

function versionOf(): string | undefined {
  try {
    // Which stream it says it on differs from version to version.
    const said = execFileSync('sh', ['-c', '"$0" --version 2>&1', program], { encoding: 'utf8', stdio: 'pipe' });
    return /version (\S+)/.exec(said)?.[1];
  } catch {
    return undefined;
  }
}

function fetchProgram(): string | undefined {
  if (!mayFetch) return undefined;
  aptInstall('prometheus');
  return versionOf();
}

const run = promisify(execFile);

/** What it says; throws with that where it finds fault. */
export async function promtool(...args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args);
  return stdout;
}

/** The suite, where there is a promtool. In CI a missing one is a failing test; elsewhere it is reported as missing. */
export function describePromtool(title: string, suite: () => void): void {
  const version = versionOf() ?? fetchProgram();
  if (version === undefined) {
    missing(title, 'promtool', 'set METERFOLD_TEST_PROMTOOL, or install prometheus');
    return;
  }
  describe(title, () => {
    afterAll(() => report(title, `promtool ${version}`, 'ran'));
    suite();
  });
}
