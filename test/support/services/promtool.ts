/** promtool: METERFOLD_TEST_PROMTOOL, else of the machine, by its package manager. */
import { aptInstall, programAt, said } from './machine.ts';
import type { Service } from './ways.ts';

const place = (): string | undefined => process.env.METERFOLD_TEST_PROMTOOL ?? programAt('promtool');

export const promtool: Service = {
  name: 'promtool',
  program: () => {
    const path = place();
    if (path === undefined) return undefined;
    // Which stream it says it on differs from version to version.
    const version = /[0-9]+(?:\.[0-9]+)+/.exec(said('sh', ['-c', '"$0" --version 2>&1', path]) ?? '')?.[0];
    return version === undefined ? undefined : { path, version };
  },
  fetch: () => {
    aptInstall('prometheus');
  },
  wayOut: 'install prometheus, or set MF_SERVICES=fetch',
};
