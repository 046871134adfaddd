/** `meterfold config --check`: every server, right and setting is tried before anything runs; all faults at once. */
import type { Config } from '../config.ts';
import { asError, MeterError } from '../errors.ts';
import { SETTINGS } from '../settings.ts';
import type { RoleName } from '../topology.ts';
import { type Group, groupsOf, type Step } from './check-steps.ts';
import { json, type Streams, table } from './output.ts';

export interface CheckRow {
  readonly check: string;
  readonly result: 'ok' | 'fault' | 'skipped';
  readonly detail: string;
  /** Of a fault: the setting to look at, and the way out. */
  readonly field?: string;
  readonly allowed?: string;
}

/** What servers' own parts call a setting. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['topic', 'kafkaTopic'],
  ['brokers', 'kafkaBrokers'],
]);
const names: ReadonlySet<string> = new Set(SETTINGS.map(({ name }) => name));

function faultOf({ check, field }: Step, error: unknown): CheckRow {
  const detail = error instanceof MeterError ? error.detail : {};
  const named = ALIASES.get(detail.field ?? '') ?? detail.field;
  const of = named !== undefined && names.has(named) ? named : field;
  const { message } = asError(error);
  return {
    check,
    result: 'fault',
    detail: message,
    field: of,
    ...(detail.allowed === undefined ? {} : { allowed: detail.allowed }),
  };
}

/** Behind a fault the rest of its group is skipped. */
async function runGroup(group: Group): Promise<CheckRow[]> {
  await using own = group;
  const rows: CheckRow[] = [];
  for (const step of own.steps) {
    const before = rows.find(({ result }) => result === 'fault');
    if (before !== undefined) rows.push({ check: step.check, result: 'skipped', detail: `behind: ${before.check}` });
    else rows.push(await runStep(step));
  }
  return rows;
}

async function runStep(step: Step): Promise<CheckRow> {
  try {
    return { check: step.check, result: 'ok', detail: await step.run() };
  } catch (error) {
    return faultOf(step, error);
  }
}

/** Servers are asked side by side. */
export async function checkConfig(config: Config, role: RoleName | undefined): Promise<CheckRow[]> {
  return (await Promise.all(groupsOf(config, role).map(runGroup))).flat();
}

/** What cannot be read at all: its faults are in one message. */
const unreadable = (error: MeterError): CheckRow[] =>
  error.message
    .replace(/^read the configuration: /, '')
    .split('; ')
    .reduce<string[]>((faults, text) => {
      // The way out of a fault stands behind a semicolon, too.
      const last = faults.pop();
      return last === undefined
        ? [text]
        : text.startsWith('allowed: ')
          ? [...faults, `${last}; ${text}`]
          : [...faults, last, text];
    }, [])
    .map((fault) => ({ check: 'settings', result: 'fault', detail: fault, field: fault.split(':')[0] ?? '' }));

function shown({ check, result, detail, field, allowed }: CheckRow): string[] {
  const way = allowed === undefined ? '' : `; allowed: ${allowed}`;
  return [check, result, field === undefined ? detail : `${field}: ${detail}${way}`];
}

/** Answers 1 where anything is at fault. `read`: throws BAD_CONFIG where there is no configuration to check. */
export async function configCheckCommand(
  read: () => Promise<Config>,
  flags: { readonly json?: boolean; readonly role?: RoleName },
  streams: Streams,
): Promise<number> {
  const rows = await rowsOf(read, flags.role);
  const ok = rows.every(({ result }) => result === 'ok');
  const text = table(['check', 'result', 'detail'], rows.map(shown), new Set());
  streams.out(flags.json === true ? json({ ok, checks: rows }) : text);
  return ok ? 0 : 1;
}

async function rowsOf(read: () => Promise<Config>, role: RoleName | undefined): Promise<CheckRow[]> {
  let config: Config;
  try {
    config = await read();
  } catch (error) {
    if (error instanceof MeterError && error.code === 'BAD_CONFIG') return unreadable(error);
    throw error;
  }
  return [
    { check: 'settings', result: 'ok', detail: 'each is known, and within its bounds' },
    ...(await checkConfig(config, role)),
  ];
}
