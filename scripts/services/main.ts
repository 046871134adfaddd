/** npm run services -- up | status | down: the servers that Meterfold needs in production, for development. */
import { parseArgs } from 'node:util';
import { down } from './down.ts';
import { alone } from './state.ts';
import { standings, tableOf } from './status.ts';
import { up } from './up.ts';

const USAGE = `npm run services -- COMMAND

  up        start Kafka, Redis, PostgreSQL and S3 in the background; what runs is left alone
  status    what runs, where, and whether it answers; exit 1 where one does not (--json)
  down      stop them by their pids; data stays (--wipe removes it)

Everything lies in ./.meterfold-services, or MF_SERVICES_DIR; source its file env, and Meterfold finds them.`;

// Containers outlive this process: nothing may reap them when it ends.
process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
// Which Node the SDK of AWS wants is said by the one who upgrades it, not at each start.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

const say = (line: string): void => console.log(line);

async function status(json: boolean): Promise<number> {
  const rows = await standings();
  say(json ? JSON.stringify(rows, undefined, 2) : tableOf(rows));
  return rows.every(({ answers }) => answers) ? 0 : 1;
}

async function run(): Promise<number> {
  const options = { wipe: { type: 'boolean' }, json: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, ...rest] = positionals;
  if (rest.length > 0) throw new TypeError(`one command at a time`);
  if (command === 'status') return status(values.json === true);
  if (command === 'up') await alone(() => up(say));
  else if (command === 'down') await alone(() => down(values.wipe === true, say));
  else throw new TypeError(command === undefined ? 'which command?' : `there is no command ${command}`);
  return 0;
}

try {
  process.exitCode = await run();
} catch (error) {
  const isUsage = error instanceof TypeError;
  console.error(isUsage ? `${error.message}\n\n${USAGE}` : error instanceof Error ? error.message : String(error));
  process.exitCode = isUsage ? 2 : 1;
}
