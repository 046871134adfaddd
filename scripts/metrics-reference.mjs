// Writes docs/metrics.md from what the program registers: npm run generate. Reads the build, so build first.
import { writeFileSync } from 'node:fs';

const root = new URL('../', import.meta.url);
const load = (path) => import(new URL(`dist/observe/${path}.js`, root));

/** Every metric of the program's own: [name, type, labels, meaning]. */
export async function ownMetrics() {
  const [{ openFacts }, { openLog }, { openRegistry }, { showRoles }, { showStandings }] = await Promise.all(
    ['facts', 'log', 'metrics', 'roles', 'standings'].map(load),
  );
  const registry = openRegistry();
  openFacts({ registry, logger: openLog({ level: 'silent' }) });
  showRoles(registry, []);
  showStandings(registry, { standings: () => [] });
  return registry
    .getMetricsAsArray()
    .map(({ name, help, type, labelNames = [] }) => ({ name, help, type, labels: labelNames }));
}

/** The text of docs/metrics.md. */
export async function generated() {
  const rows = (await ownMetrics())
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, labels, help }) => {
      const of = labels.length === 0 ? '–' : labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${type} | ${of} | ${help} |`;
    });
  return `# Metrics

Generated from \`src/observe\` by \`npm run generate\`. Do not edit.

Every process serves them at \`GET /metrics\` on its port. A metric whose work another role does stays at its start. Beside these there are those of Node
(\`nodejs_*\`, \`process_*\`). Seconds, bytes and records are in the names; labels are bounded: values of a label beyond 200 count as \`other\`. The alerts on them:
[deploy/alerts](../deploy/alerts/meterfold.rules.yaml), with a page each in [runbooks](runbooks).

| metric | type | labels | meaning |
| --- | --- | --- | --- |
${rows.join('\n')}
`;
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  writeFileSync(new URL('docs/metrics.md', root), await generated());
