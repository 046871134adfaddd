// Loaded into the server by --import when it is profiled: adds up how long each statement occupies the database. There is
// one connection and one session, so these times do not overlap; written to METERFOLD_TEST_BENCH_TRACE at the exit.
import { writeFileSync } from 'node:fs';
import pg from 'pg';

const file = process.env.METERFOLD_TEST_BENCH_TRACE;
const totals = new Map();

/** What a statement does first, and to which table. */
function nameOf(text) {
  const flat = text.replace(/--.*$/gm, '').replace(/\s+/g, ' ').trim();
  const table = /(?:INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN) (?!LATERAL|unnest|\()([a-z_]+)/.exec(flat)?.[1] ?? '';
  return `${flat.split(' ')[0]} ${table}`.trim();
}

function note(name, began) {
  const { calls, ms } = totals.get(name) ?? { calls: 0, ms: 0 };
  totals.set(name, { calls: calls + 1, ms: ms + performance.now() - began });
}

const { query } = pg.Client.prototype;
pg.Client.prototype.query = function traced(...args) {
  const [given] = args;
  const name = nameOf(typeof given === 'string' ? given : (given.text ?? '?'));
  const began = performance.now();
  const last = args.at(-1);
  // The pool's own way: a callback, and no promise.
  if (typeof last === 'function') {
    args[args.length - 1] = (...answer) => {
      note(name, began);
      last(...answer);
    };
    return query.apply(this, args);
  }
  const answer = query.apply(this, args);
  answer?.then?.(
    () => note(name, began),
    () => note(name, began),
  );
  return answer;
};

process.on('exit', () => {
  if (file !== undefined) writeFileSync(file, JSON.stringify(Object.fromEntries(totals)));
});
