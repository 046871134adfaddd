/** The jars of a Kafka broker: fetched once with Maven into a cache, or not at all. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mayFetch } from './services.ts';

/** MF_KAFKA_VERSION: another one, from 3.1 on. */
export const KAFKA_VERSION = process.env.MF_KAFKA_VERSION ?? '4.3.1';

const cache = process.env.MF_CACHE ?? join(homedir(), '.cache', 'meterfold');
const jars = join(cache, `kafka-${KAFKA_VERSION}`);
const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

const hasJava = (): boolean => {
  try {
    execFileSync('java', ['-version'], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
};

/** Another process may fetch at the same time: what is whole takes its place in one step. */
function fetchJars(): void {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'fetch-'));
  try {
    // Maven leaves its own folder beside the file.
    cpSync(fileURLToPath(new URL('kafka/pom.xml', import.meta.url)), join(work, 'pom.xml'));
    const to = [`-Dkafka.version=${KAFKA_VERSION}`, '-DincludeScope=runtime', `-DoutputDirectory=${join(work, 'jars')}`];
    execFileSync('mvn', ['-q', '-B', '-f', join(work, 'pom.xml'), COPY, ...to], { stdio: 'pipe' });
    renameSync(join(work, 'jars'), jars);
  } catch (error) {
    // The other one was first.
    if (!existsSync(jars)) throw error;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The folder of the jars; fetched where CI=true or MF_SERVICES=fetch. Undefined where there are none, or no Java. */
export function kafkaJars(): string | undefined {
  if (!hasJava()) return undefined;
  if (!existsSync(jars) && mayFetch) fetchJars();
  return existsSync(jars) ? jars : undefined;
}
