/** Alerts: each has a page and a test that it can fail, and speaks of metrics that the program has. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { startProduct } from '../../src/cli/product.ts';
import { systemClock } from '../../src/clock.ts';
import { parseConfig } from '../../src/config.ts';
import { openLog } from '../../src/observe/log.ts';
import { describePromtool, promtool } from '../support/promtool.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook_url: string };
}
interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}
interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
  }[];
}

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const read = (path: string): Promise<string> => readFile(at(path), 'utf8');
const RULES = 'deploy/alerts/meterfold.rules.yaml';
const TESTS = 'deploy/alerts/meterfold.tests.yaml';
const rulesText = await read(RULES);
const rules = (parse(rulesText) as Rules).groups.flatMap((group) => group.rules);
const METRIC = /meterfold_[a-z_]+/g;
const named = new Set(rules.flatMap(({ expr }) => expr.match(METRIC) ?? []));

describe('alerts', () => {
  let scraped: string;
  let exported: readonly string[];

  beforeAll(async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'meterfold-alerts-'));
    const config = parseConfig({ flags: { dataDir, port: 0, logLevel: 'silent' } });
    const product = await startProduct(config, { clock: systemClock, random: () => 0.5, log: openLog({ level: 'silent' }) });
    try {
      scraped = await (await fetch(`${product.url}/metrics`)).text();
    } finally {
      await product.close();
      await rm(dataDir, { recursive: true });
    }
    exported = [...scraped.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
  });

  test('every metric that a rule names is one that the program exports', () => {
    expect(named.size).toBeGreaterThan(10);
    expect([...named].filter((name) => !exported.includes(name))).toEqual([]);
  });

  test('docs/metrics.md has every metric of the program, and no other', async () => {
    const listed = [...(await read('docs/metrics.md')).matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name);
    expect([...listed].sort()).toEqual(exported.filter((name) => name.startsWith('meterfold_')).sort());
  });

  test('a process says which roles it does', () => {
    for (const role of ['ingest', 'worker', 'publisher', 'relay', 'scheduler', 'api'])
      expect(scraped).toContain(`meterfold_role{role="${role}"} 1\n`);
  });

  test('each alert has a page, which says the same five things, and no page is without its alert', async () => {
    const pages = (await readdir(at('docs/runbooks'))).map((name) => name.replace(/\.md$/, ''));
    expect(pages.sort()).toEqual(rules.map(({ alert }) => alert).sort());
    for (const { alert, annotations, labels } of rules) {
      expect(annotations.runbook_url).toBe(`docs/runbooks/${alert}.md`);
      expect(['warning', 'critical']).toContain(labels.severity);
      const page = await read(annotations.runbook_url);
      expect(page.split('\n')[0]).toBe(`# ${alert}`);
      expect([...page.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual([
        ...['What it means', 'What users see meanwhile', 'How to look', 'What to do', 'When it ends'],
      ]);
      const unknown = (page.match(METRIC) ?? []).filter((name) => !exported.includes(name));
      expect(unknown).toEqual([]);
    }
  });

  test('each alert is tested where it speaks and where it does not', async () => {
    const looks = (parse(await read(TESTS)) as RuleTests).tests.flatMap((one) => one.alert_rule_test);
    for (const { alert } of rules) {
      const of = looks.filter(({ alertname }) => alertname === alert).map(({ exp_alerts: found }) => found.length > 0);
      expect([alert, of.includes(true), of.includes(false)]).toEqual([alert, true, true]);
    }
  });
});

describePromtool('alert rules', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'meterfold-rules-'));
    await writeFile(join(folder, 'meterfold.tests.yaml'), await read(TESTS));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const tested = async (text: string): Promise<string> => {
    await writeFile(join(folder, 'meterfold.rules.yaml'), text);
    return promtool('test', 'rules', join(folder, 'meterfold.tests.yaml'));
  };
  const changed = (how: (rule: Rule) => object): string =>
    stringify({ groups: [{ name: 'meterfold', rules: rules.map(how) }] });
  /** Alerts whose tests fail when the rules are changed so: all at once, because a promtool takes its time. */
  const failing = async (how: (rule: Rule) => object): Promise<string[]> => {
    const said = await tested(changed(how)).catch((error: unknown) => String((error as { stderr?: string }).stderr));
    return [...new Set([...said.matchAll(/alertname: (\w+)/g)].map(([, alert = '']) => alert))].sort();
  };
  const namesOf = (some: readonly Rule[]): string[] => some.map(({ alert }) => alert).sort();

  test('parse, and keep their tests', async () => {
    expect(await promtool('check', 'rules', at(RULES))).toContain(`${String(rules.length)} rules found`);
    expect(await tested(rulesText)).toContain('SUCCESS');
  });

  test('silenced, each fails its test', async () => {
    const silent = (rule: Rule): object => ({ ...rule, expr: `(${rule.expr}) and on () vector(0) > 0` });
    expect(await failing(silent)).toEqual(namesOf(rules));
  });

  test('without patience, each that has some fails its test', async () => {
    expect(await failing((rule) => ({ ...rule, for: '0m' }))).toEqual(
      namesOf(rules.filter((rule) => rule.for !== undefined)),
    );
  });
});
