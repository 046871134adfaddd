/** Apache Kafka: the ways to one. On a machine it is Java and a folder of jars, which Maven fetches. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startContainer, type Contained } from './docker.ts';
import { cache, madeOnce, said } from './machine.ts';
import type { Program, Service } from './ways.ts';

/** MF_KAFKA_VERSION: another one, from 3.1 on. */
const VERSION = process.env.MF_KAFKA_VERSION ?? '4.3.1';

const PORT = 9092;
const jars = join(cache, `kafka-${VERSION}`);
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

function fetchJars(): void {
  madeOnce(jars, (path, folder) => {
    // Maven leaves its own folder beside the file.
    const pom = join(folder, 'pom.xml');
    cpSync(fileURLToPath(new URL('kafka-files/pom.xml', import.meta.url)), pom);
    const to = [`-Dkafka.version=${VERSION}`, '-DincludeScope=runtime', `-DoutputDirectory=${path}`];
    execFileSync('mvn', ['-q', '-B', '-f', pom, COPY, ...to], { stdio: 'pipe' });
  });
}

/** A distribution of one's own at KAFKA_HOME, unless another version is asked for. */
function installed(): Program | undefined {
  const libs = join(process.env.KAFKA_HOME ?? '', 'libs');
  const version = existsSync(libs)
    ? readdirSync(libs).flatMap((name) => /^kafka_2\.\d+-([\d.]+)\.jar$/.exec(name)?.[1] ?? [])[0]
    : undefined;
  const isWanted = version !== undefined && (process.env.MF_KAFKA_VERSION ?? version) === version;
  return isWanted ? { path: libs, version } : undefined;
}

export const kafka: Service = {
  name: 'Apache Kafka',
  given: 'METERFOLD_TEST_KAFKA_BROKERS',
  image: process.env.MF_KAFKA_IMAGE ?? `apache/kafka:${VERSION}`,
  // `-version` and not `--version`: all of them know it.
  program: () => {
    if (said('java', ['-version']) === undefined) return undefined;
    return existsSync(jars) ? { path: jars, version: VERSION } : installed();
  },
  fetch: fetchJars,
  wayOut: 'set METERFOLD_TEST_KAFKA_BROKERS, start Docker, or install Java and Maven and set MF_SERVICES=fetch',
};

/** One broker, which tells its clients the port of this machine; topics are as Meterfold demands. */
export async function containKafka(image: string, hostPort: number): Promise<Contained> {
  const environment = {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_LISTENERS: `PLAINTEXT://:${PORT},CONTROLLER://:9093`,
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${hostPort}`,
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_INTER_BROKER_LISTENER_NAME: 'PLAINTEXT',
    KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE: 'LogAppendTime',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
  };
  return startContainer({ image, port: PORT, hostPort, environment });
}
