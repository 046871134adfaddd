/** Suites and the servers that they run on: each is listed before the run, and says afterwards that it ran (scripts/check.mjs). */
import { appendFileSync } from 'node:fs';
import { afterAll, describe, test } from 'vitest';
import { find, type Found, isCi, type Need, type Service } from './ways.ts';

type Outcome = 'selected' | 'ran' | 'missing';

/** A line for the table, where MF_SUITE_REPORT names its file. */
export function report(suite: string, server: string, outcome: Outcome, way?: string): void {
  const path = process.env.MF_SUITE_REPORT;
  if (path !== undefined && path !== '') appendFileSync(path, `${JSON.stringify({ suite, server, outcome, way })}\n`);
}

/** A suite without its server: a failing test in CI, skipped elsewhere. */
export function missing(title: string, { name, wayOut }: Service): void {
  report(title, name, 'missing');
  test.runIf(isCi)(`${title} needs ${name} in CI`, () => {
    throw new Error(`no ${name}: ${wayOut}`);
  });
  test.skipIf(isCi)(`${title} on ${name}: not on this machine`, (context) => context.skip());
}

/** The suite on a server that is there. */
export function describeOn(title: string, server: string, way: string, suite: () => void): void {
  report(title, server, 'selected', way);
  describe(`${title} on ${server}`, () => {
    // The hooks of a suite run in reverse: after its own.
    afterAll(() => report(title, server, 'ran', way));
    suite();
  });
}

/** The suite on the first server that a way leads to. */
export function describeService(title: string, service: Service, need: Need, suite: (found: Found) => void): void {
  const found = find(service, need);
  if (found === undefined) missing(title, service);
  else describeOn(title, found.server, found.way, () => suite(found));
}
