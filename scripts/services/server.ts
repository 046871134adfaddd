/** What `npm run services` knows of each kind of server. */
import type { Config } from '../../src/config.ts';
import type { Contained } from '../../test/support/services/docker.ts';
import type { Service } from '../../test/support/services/ways.ts';

/** Settings of Meterfold by their names. */
export type Settings = Partial<Record<keyof Config, string>>;

/** Free ports of this machine, kept from one start to the next. */
export type Ports = readonly [client: number, other: number];

export interface Server {
  readonly service: Service;
  /** Its orderly stop: what it was told is on disk then. */
  readonly stop: NodeJS.Signals;
  /** The address by which Meterfold names it. */
  address(host: string, port: number): string;
  /** What runs it on the data in `dir`, which is made where there is none. */
  command(program: string, dir: string, ports: Ports): Promise<[string, string[]]>;
  contain(image: string, port: number): Promise<Contained>;
  answers(address: string): Promise<boolean>;
  /** Makes what Meterfold does not make itself, where it is not there: a topic, a database, a bucket. */
  furnish(address: string): Promise<void>;
  settings(address: string): Settings;
  /** What programs other than Meterfold's read. */
  environment?(): Readonly<Record<string, string>>;
}
