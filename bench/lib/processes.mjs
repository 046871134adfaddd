// What processes used, from outside: /proc. Where there is none, nothing was used.
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks of /proc/PID/stat are hundredths of a second on every Linux that Node runs on. */
const TICK_MS = 10;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // no /proc, or it has just ended
  }
};

/** Name, and the fields behind it: it stands in brackets, and may hold blanks. */
function statOf(path) {
  const text = read(path);
  const [open, close] = [text.indexOf('('), text.lastIndexOf(')')];
  return { name: text.slice(open + 1, close), fields: text.slice(close + 2).split(' ') };
}

/** Ticks in two of the fields, such as utime and stime, ms. */
const ticksMs = (fields, user, system) => (Number(fields[user] ?? 0) + Number(fields[system] ?? 0)) * TICK_MS;

/** utime and stime of a process, or of one of its threads, ms. */
export const cpuMs = (pid, tid) =>
  ticksMs(statOf(tid === undefined ? `/proc/${pid}/stat` : `/proc/${pid}/task/${tid}/stat`).fields, 11, 12);

/** Of a server with processes of its own, such as PostgreSQL: with those that it started, also the ones that are gone. */
export const treeCpuMs = (pid) =>
  cpuMs(pid) +
  ticksMs(statOf(`/proc/${pid}/stat`).fields, 13, 14) +
  childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0);

const numbersIn = (directory) => {
  try {
    return readdirSync(directory).filter((name) => /^\d+$/.test(name));
  } catch {
    return []; // no /proc
  }
};

export const threadsOf = (pid) => numbersIn(`/proc/${pid}/task`);

export const childrenOf = (pid, name) =>
  numbersIn('/proc')
    .map(Number)
    .filter((child) => {
      const stat = statOf(`/proc/${child}/stat`);
      return Number(stat.fields[1]) === pid && (name === undefined || stat.name === name);
    });

/** MB: resident now, and at most so far. */
export function memoryMb(pid) {
  const status = read(`/proc/${pid}/status`);
  const mb = (name) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024);
  return { rss: mb('VmRSS'), peak: mb('VmHWM') };
}
