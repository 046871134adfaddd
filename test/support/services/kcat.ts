/** kcat, a client on librdkafka: of the machine, by its package manager. */
import { aptInstall, programAt, said } from './machine.ts';
import type { Service } from './ways.ts';

const place = (): string | undefined => programAt('kcat');

export const kcat: Service = {
  name: 'kcat',
  program: () => {
    const path = place();
    if (path === undefined) return undefined;
    // Which stream it says it on differs from version to version.
    const version = /[0-9]+(?:\.[0-9]+)+/.exec(said('sh', ['-c', '"$0" -V 2>&1', path]) ?? '')?.[0];
    return version === undefined ? undefined : { path, version };
  },
  fetch: () => {
    aptInstall('kcat');
  },
  wayOut: 'install kcat, or set MF_SERVICES=fetch',
};
