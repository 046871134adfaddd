/**
 * Manifests against the types of the Kubernetes API, by the compiler: an object literal with an unknown field, or a value of
 * another type, does not compile. Needs no cluster and no schemas from the web.
 */
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import type { KubernetesObject } from './helm.ts';

/** Where the types of an API lie in `kubernetes-types`. */
const FOLDERS: Readonly<Record<string, string>> = {
  v1: 'core/v1',
  'apps/v1': 'apps/v1',
  'autoscaling/v2': 'autoscaling/v2',
  'networking.k8s.io/v1': 'networking/v1',
  'policy/v1': 'policy/v1',
};

/** Of the Prometheus operator: what the chart uses of it. */
const SERVICE_MONITOR = `{
  apiVersion: 'monitoring.coreos.com/v1'; kind: 'ServiceMonitor'; metadata: import('kubernetes-types/meta/v1').ObjectMeta;
  spec: {
    selector: import('kubernetes-types/meta/v1').LabelSelector;
    endpoints: { port: string; path?: string; interval?: string; scrapeTimeout?: string;
      relabelings?: { sourceLabels?: string[]; targetLabel?: string; regex?: string; replacement?: string; action?: string }[] }[];
  };
}`;

function typeOf({ apiVersion, kind }: KubernetesObject): string {
  if (kind === 'ServiceMonitor') return SERVICE_MONITOR;
  const folder = FOLDERS[apiVersion];
  return folder === undefined ? 'never' : `import('kubernetes-types/${folder}').${kind}`;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FILE = `${ROOT}manifests.ts`;
const OPTIONS: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
};

/** Everything that is wrong with them; each fault names the object. */
export function faultsOf(objects: readonly KubernetesObject[]): string[] {
  const lines = objects.map(
    (object, n) => `export const o${String(n)}: ${typeOf(object).replaceAll('\n', ' ')} = ${JSON.stringify(object)};`,
  );
  const source = ts.createSourceFile(FILE, lines.join('\n'), ts.ScriptTarget.ES2022, true);
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...more) => (name === FILE ? source : getSourceFile.call(host, name, ...more));
  const { fileExists } = host;
  host.fileExists = (name) => name === FILE || fileExists.call(host, name);
  const program = ts.createProgram([FILE], OPTIONS, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0, file }) => {
    const object = file === source ? objects[source.getLineAndCharacterOfPosition(start).line] : undefined;
    const at = source.text.slice(start, start + 40);
    return `${object?.kind ?? ''} ${object?.metadata.name ?? ''} at ${at}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}
