/** Servers in containers, for machines with a Docker engine and nothing else. */
import type { StartupCheckStrategy, StartupStatus } from 'testcontainers';
import { said } from './machine.ts';

type StartupCheck = StartupCheckStrategy['checkStartupState'];

const known = new Map<string, boolean>();

/** Whether an engine answers and has the image, or pulls it. Asked once a process. */
export function hasImage(image: string): boolean {
  const before = known.get(image);
  if (before !== undefined) return before;
  const here = (): boolean => said('docker', ['image', 'inspect', '--format', '{{.Id}}', image]) !== undefined;
  const answer =
    said('docker', ['version', '--format', '{{.Server.Version}}']) !== undefined &&
    (here() || said('docker', ['pull', '--quiet', image]) !== undefined);
  known.set(image, answer);
  return answer;
}

export interface Contained {
  /** Of the port that was asked for, on this machine. */
  readonly host: string;
  readonly port: number;
  readonly id: string;
  stop(): Promise<void>;
}

export interface Container {
  readonly image: string;
  /** The port inside. */
  readonly port: number;
  /** The port outside, where the server has to know it; else a free one. */
  readonly hostPort?: number;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Folders that it needs, and its image may not have. */
  readonly folders?: readonly string[];
}

/** Runs it. Whether the server answers, its own protocol says: what waits for a port needs a shell inside. */
export async function startContainer(asked: Container): Promise<Contained> {
  const { GenericContainer, StartupCheckStrategy: Check } = await import('testcontainers');
  class Runs extends Check {
    override async checkStartupState(...[client, id]: Parameters<StartupCheck>): Promise<StartupStatus> {
      const { State } = await client.getContainer(id).inspect();
      return State.Running ? 'SUCCESS' : State.Status === 'exited' ? 'FAIL' : 'PENDING';
    }
  }
  const { image, port, hostPort, command, environment = {}, folders = [] } = asked;
  const ports = hostPort === undefined ? port : { container: port, host: hostPort };
  let container = new GenericContainer(image)
    .withEnvironment({ ...environment })
    .withExposedPorts(ports)
    .withWaitStrategy(new Runs());
  if (folders.length > 0)
    container = container.withCopyContentToContainer(folders.map((folder) => ({ content: '', target: `${folder}/.keep` })));
  if (command !== undefined) container = container.withCommand([...command]);
  const started = await container.start();
  return {
    host: started.getHost(),
    port: started.getMappedPort(port),
    id: started.getId(),
    stop: async () => void (await started.stop()),
  };
}
