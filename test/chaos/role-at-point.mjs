// One role as `meterfold ROLE` starts it, with its ports lent: at a named point, after CHAOS_PASSES passes, the process gets
// CHAOS_SIGNAL. node role-at-point.mjs ROLE
import { writeSync } from 'node:fs';
import { parseConfig } from '../../dist/config.js';
import { systemClock } from '../../dist/clock.js';
import { startProduct } from '../../dist/cli/product.js';
import { openLog } from '../../dist/observe/log.js';

const [role] = process.argv.slice(2);
const { CHAOS_POINT: point, CHAOS_PASSES: passes, CHAOS_SIGNAL: signal, ...env } = process.env;
let left = Number(passes);

/** The process is gone, or stands still, before the next instruction of ours. */
function pass(name) {
  if (name !== point) return;
  left -= 1;
  if (left !== 0) return;
  // Written when it returns, and so before the signal.
  writeSync(1, `passed ${name}\n`);
  process.kill(process.pid, signal);
}

/** The point lies before or behind a method of a port. */
function lendMethod(port, method, when, name) {
  const original = port[method].bind(port);
  port[method] = async (...args) => {
    if (when === 'before') pass(name);
    const result = await original(...args);
    if (when === 'after') pass(name);
    return result;
  };
}

function lend(stores) {
  lendMethod(stores.speed, 'apply', 'before', 'before-apply');
  lendMethod(stores.speed, 'apply', 'after', 'after-apply');
  lendMethod(stores.log, 'append', 'after', 'before-reply');
  lendMethod(stores.archive, 'put', 'after', 'after-put');
  lendMethod(stores.catalog, 'seal', 'after', 'after-seal');
  lendMethod(stores.catalog, 'settle', 'before', 'inside-relay');
  const { transaction } = stores.batch;
  stores.batch.transaction = async (work) => {
    const result = await transaction((tx) => {
      const lent = { ...tx };
      lendMethod(lent, 'recomputeRollups', 'after', 'inside-publish');
      return work(lent);
    });
    pass('after-publish');
    return result;
  };
  return stores;
}

const config = parseConfig({ env });
const product = await startProduct(config, {
  ...{ roles: new Set([role]), clock: systemClock, random: Math.random, log: openLog({ level: 'warn' }), lend },
});
process.stdout.write(` ready on ${product.url}\n`);
const close = () => product.close().then(() => process.exit(0));
process.once('SIGTERM', () => void close().catch(() => process.exit(1)));
product.failed.catch((error) => {
  process.stderr.write(`${String(error.stack)}\n`);
  process.exit(1);
});
