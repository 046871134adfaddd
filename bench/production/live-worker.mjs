// A worker without its archive sink: what the speed layer alone costs. Settings as every role takes them, from the environment.
// With PROFILE=FILE a CPU profile is written there when it is told to stop.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { randomUUID } from 'node:crypto';
import { parseConfig } from '../../dist/config.js';
import { systemClock } from '../../dist/clock.js';
import { settingsOf } from '../../dist/cli/product.js';
import { openStores } from '../../dist/cli/stores.js';
import { openFacts } from '../../dist/observe/facts.js';
import { openLog } from '../../dist/observe/log.js';
import { openRegistry } from '../../dist/observe/metrics.js';
import { counting, runRoles } from '../../dist/topology.js';

const { PROFILE, ...env } = process.env;
const config = parseConfig({ env });
const stores = await openStores(config, systemClock, { role: 'worker', declared: undefined });
const facts = openFacts({ registry: openRegistry(), logger: openLog({ level: 'warn' }) });
const ports = { ...stores, clock: systemClock, facts, random: Math.random, unique: randomUUID };
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
const session = new Session();
if (PROFILE !== undefined) {
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 500 });
  await session.post('Profiler.start');
}
process.stdout.write('worker ready on nowhere\n');
await runRoles(ports, settingsOf(config), { roles: new Set(['worker']), wiring: counting }, stop.signal);
if (PROFILE !== undefined) writeFileSync(PROFILE, JSON.stringify((await session.post('Profiler.stop')).profile));
await stores.close();
process.exit(0);
