/** What a process is for: an alert on a role that nobody does needs its name in the metrics of those that do. */
import { gauges, type Registry } from './metrics.ts';

export function showRoles(registry: Registry, roles: Iterable<string>): void {
  const show = gauges(registry, { name: 'meterfold_role', help: '1 for each role of this process' }, 'role');
  for (const role of roles) show(role, 1);
}
