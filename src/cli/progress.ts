/** Progress of a long command: a bar on a terminal, plain lines otherwise. */
import { Presets, SingleBar } from 'cli-progress';
import type { Clock } from '../clock.ts';
import type { ImportProgress } from '../sources/import/importer.ts';
import type { Streams } from './output.ts';

export interface ProgressLine {
  readonly show: (progress: ImportProgress) => void;
  readonly end: () => void;
}

/** Between two plain lines, ms. */
const EVERY_MS = 5000;

function bar(): ProgressLine {
  const format = '{bar} {percentage}% | {rows} rows | {eta_formatted} left';
  const shown = new SingleBar({ format, hideCursor: true }, Presets.shades_classic);
  let started = false;
  return {
    show: ({ bytes, ofBytes, rows }) => {
      if (!started) shown.start(ofBytes, 0, { rows: 0 });
      started = true;
      shown.update(bytes, { rows });
    },
    end: () => {
      if (started) shown.stop();
    },
  };
}

export function progressLine({ err, isTerminal }: Streams, clock: Clock): ProgressLine {
  if (isTerminal) return bar();
  const began = clock.now();
  let said = began;
  const show = ({ bytes, ofBytes, rows }: ImportProgress): void => {
    const now = clock.now();
    if (now - said < EVERY_MS) return;
    said = now;
    const percent = ofBytes === 0 ? 100 : Math.floor((100 * bytes) / ofBytes);
    err(`${percent} % read, ${rows} rows, ${Math.floor((1000 * rows) / (now - began))} rows/s`);
  };
  return { show, end: () => undefined };
}
