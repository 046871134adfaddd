// Meterfold as `meterfold dev` starts it, with one port lent that kills the process at a named point, after `count` passes.
// node victim.mjs DATA_DIR POINT COUNT [SETTINGS]   (POINT `none` kills nothing; SETTINGS is JSON)
import { parseConfig } from '../../dist/config.js';
import { systemClock } from '../../dist/clock.js';
import { startProduct } from '../../dist/cli/product.js';
import { openLog } from '../../dist/observe/log.js';

const [dataDir, point, count, settings = '{}'] = process.argv.slice(2);
let left = Number(count);

/** The process is gone before the next instruction of ours. */
function pass(name) {
  if (name !== point) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}

/** Calls `method` of a port, then passes the point. */
const after = (port, method, name) => {
  const original = port[method].bind(port);
  return async (...args) => {
    const result = await original(...args);
    pass(name);
    return result;
  };
};

/** Passes the point, then calls `method` of a port. */
const before = (port, method, name) => {
  const original = port[method].bind(port);
  return async (...args) => {
    pass(name);
    return original(...args);
  };
};

const lendTransaction = (batch) => ({
  ...batch,
  transaction: (work) =>
    batch
      .transaction((tx) => work({ ...tx, recomputeRollups: after(tx, 'recomputeRollups', 'inside-publish') }))
      .then(dyingAfter('after-publish')),
});

const dyingAfter = (name) => (result) => {
  pass(name);
  return result;
};

const lendRebuilds = (rebuilds) => ({
  ...rebuilds,
  open: async () => {
    const view = await rebuilds.open();
    return { ...view, transaction: (work) => view.transaction(work).then(dyingAfter('inside-rebuild')) };
  },
  compare: after(rebuilds, 'compare', 'after-compare'),
  flip: (work) =>
    rebuilds.flip((tx) => work({ ...tx, swap: after(tx, 'swap', 'inside-flip') })).then(dyingAfter('after-flip')),
});

const lend = (stores) => {
  stores.speed.apply = after(stores.speed, 'apply', 'after-apply');
  return {
    ...stores,
    // Acknowledged by the log, not yet to the client.
    log: { ...stores.log, append: after(stores.log, 'append', 'before-reply') },
    archive: { ...stores.archive, put: after(stores.archive, 'put', 'after-put') },
    catalog: {
      ...stores.catalog,
      seal: after(stores.catalog, 'seal', 'after-seal'),
      // The log has acknowledged what the outbox still holds.
      settle: before(stores.catalog, 'settle', 'inside-relay'),
    },
    rejects: { ...stores.rejects, redrive: after(stores.rejects, 'redrive', 'after-redrive') },
    batch: lendTransaction(stores.batch),
    rebuilds: lendRebuilds(stores.rebuilds),
  };
};

const config = parseConfig({ flags: { ...JSON.parse(settings), dataDir, port: 0 } });
const product = await startProduct(config, {
  clock: systemClock,
  random: Math.random,
  log: openLog({ level: 'warn' }),
  lend,
});
await product.ready();
process.stdout.write(`ready on ${product.url}\n`);
process.once('SIGTERM', () => {
  product.close().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
