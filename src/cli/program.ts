/** The commands and their options. */
import { readFile } from 'node:fs/promises';
import { Command, CommanderError } from 'commander';
import { type Config, parseConfig } from '../config.ts';
import { MeterError } from '../errors.ts';
import { dev } from './dev.ts';
import type { Streams } from './output.ts';

export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly streams: Streams;
  readonly stop: AbortSignal;
  readonly random: () => number;
}

type Flags = Readonly<Record<string, unknown>>;

/** Flags over environment over file over defaults. Throws BAD_CONFIG. */
export async function configOf({ env }: Context, flags: Flags): Promise<Config> {
  const path = typeof flags.config === 'string' ? flags.config : env.METERFOLD_CONFIG_FILE;
  return parseConfig({ flags, env, ...(path === undefined ? {} : { file: await readConfigFile(path) }) });
}

async function readConfigFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new MeterError('BAD_CONFIG', `read the configuration file ${path}: it cannot be read`, {
      field: 'config',
      value: path,
      cause,
    });
  }
}

/** Resolves with the exit code: 0 done, 1 a check failed, 2 usage. */
export async function program(context: Context, argv: readonly string[]): Promise<number> {
  let code = 0;
  const root = new Command('meterfold').description('Usage metering whose live answers are exact.').version('0.1.0');
  root
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.streams.out(text.trimEnd()),
      writeErr: (text) => context.streams.err(text.trimEnd()),
    });
  root
    .command('dev')
    .description('run the whole product in this process')
    .option('--data-dir <dir>', 'where the data lies')
    .option('--port <port>', 'port to listen on; 0 takes a free one')
    .option('--host <host>', 'address to listen on')
    .option('--meters-file <file>', 'YAML file of meters')
    .option('--config <file>', 'YAML file of settings')
    .option('--insecure', 'listen on other addresses than loopback')
    .action(async (flags: Flags) => {
      code = await dev(await configOf(context, flags), context.random, context.streams, context.stop);
    });
  try {
    await root.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    // Commander has said what is wrong; help and version are no error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return code;
}
