/** What servers and workers used, from outside: /proc. */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of /proc/PID/stat are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

const statOf = (pid: number): { readonly name: string; readonly fields: readonly string[] } | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [open, close] = [text.indexOf('('), text.lastIndexOf(')')];
    return { name: text.slice(open + 1, close), fields: text.slice(close + 2).split(' ') };
  } catch {
    return undefined;
  }
};

/** utime and stime, ms. A process that has ended has used nothing more. */
export const cpuMs = (pid: number): number => {
  const { fields } = statOf(pid) ?? { fields: [] };
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS;
};

/** Of a server with processes of its own, such as PostgreSQL: with those that it started, also the ones that are gone. */
export function treeCpuMs(pid: number): number {
  const { fields } = statOf(pid) ?? { fields: [] };
  const gone = (Number(fields[13] ?? 0) + Number(fields[14] ?? 0)) * TICK_MS;
  return cpuMs(pid) + gone + childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0);
}

export const childrenOf = (pid: number, name?: string): number[] =>
  readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((child) => {
      const stat = statOf(child);
      return stat !== undefined && Number(stat.fields[1]) === pid && (name === undefined || stat.name === name);
    });

/** MB: resident at most so far. */
export const peakMb = (pid: number): number => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
};
