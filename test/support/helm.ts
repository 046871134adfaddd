/** The chart, as Helm renders it. */
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { helm as service } from './services/helm.ts';
import { describeService } from './services/suites.ts';
import { ownProgram } from './services/ways.ts';

export const CHART = fileURLToPath(new URL('../../deploy/helm/meterfold', import.meta.url));

const run = promisify(execFile);

/** What helm says on stdout; throws with what it says on stderr. */
export async function helm(...args: readonly string[]): Promise<string> {
  // It writes into HOME even where nothing is to be kept.
  const env = { PATH: process.env.PATH, HOME: tmpdir() };
  const { stdout } = await run(ownProgram(service).path, args, { env, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
}

/** The objects of a release. */
export async function rendered(...args: readonly string[]): Promise<KubernetesObject[]> {
  const text = await helm('template', 'release', CHART, ...args);
  return parseAllDocuments(text).flatMap((document) => {
    const object = document.toJS() as KubernetesObject | null;
    return object === null ? [] : [object];
  });
}

/** The suite, where there is a helm. */
export const describeHelm = (title: string, suite: () => void): void => {
  describeService(title, service, 'own', suite);
};
