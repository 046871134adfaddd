/** How far this process has read each lineage, looked up whenever metrics are asked for. */
import { Gauge } from 'prom-client';
import type { Standing } from '../contract.ts';
import type { Registry } from './metrics.ts';

const GAUGES: readonly (readonly [name: string, help: string, of: (standing: Standing) => number | undefined])[] = [
  ['meterfold_log_lag_records', 'Places of the log that this process reads, and has not read yet', ({ lag }) => lag],
  [
    'meterfold_log_read_arrival_seconds',
    'Arrival of the last record that was read, seconds since 1970',
    ({ arrival }) => (arrival === undefined ? undefined : arrival / 1000),
  ],
  [
    'meterfold_log_held_back_seconds',
    'How long an open transaction has kept all readers back; 0 where none does',
    ({ heldBack }) => (heldBack?.forMs ?? 0) / 1000,
  ],
  [
    'meterfold_log_hung_transaction',
    '1 where a transaction is open for longer than the broker lets any producer keep one open',
    ({ heldBack }) => (heldBack?.isHung === true ? 1 : 0),
  ],
];

/** A log that cannot tell has no such metrics. */
export function showStandings(registry: Registry, log: { standings?(): readonly Standing[] }): void {
  if (log.standings === undefined) return;
  for (const [name, help, of] of GAUGES) {
    const collect = (): void => {
      gauge.reset();
      for (const standing of log.standings?.() ?? []) {
        const value = of(standing);
        if (value !== undefined) gauge.labels(standing.lineage).set(value);
      }
    };
    const gauge = new Gauge({ name, help, labelNames: ['lineage'], registers: [registry], collect });
  }
}
