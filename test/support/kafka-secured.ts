/** What a broker needs to take clients over TLS that log in by each mechanism there is a test for. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const USER = { username: 'alice', password: 'alice-secret' } as const;

export interface Secured {
  /** The certificate that clients trust. */
  readonly ca: string;
  readonly properties: Readonly<Record<string, string>>;
  /** Arguments of the format of its storage: users of SCRAM are kept there. */
  readonly format: readonly string[];
}

const MODULES = 'org.apache.kafka.common.security';
/** So short that a test sees them renewed: kafkajs does that 10 s before their end, and brokers not twice in a second. */
const SESSION_MS = 11_500;

/** A certificate of its own for this run, in `dir`. */
export function securedBy(dir: string): Secured {
  const [key, certificate, both] = [join(dir, 'key.pem'), join(dir, 'certificate.pem'), join(dir, 'broker.pem')];
  const subject = ['-subj', '/CN=meterfold-test', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key];
  execFileSync('openssl', ['req', '-x509', ...newKey, ...subject, '-out', certificate], { stdio: 'pipe' });
  writeFileSync(both, readFileSync(key, 'utf8') + readFileSync(certificate, 'utf8'));
  const listener = 'listener.name.secure';
  return {
    ca: readFileSync(certificate, 'utf8'),
    properties: {
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': both,
      [`${listener}.sasl.enabled.mechanisms`]: 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
      [`${listener}.plain.sasl.jaas.config`]: `${MODULES}.plain.PlainLoginModule required user_alice="${USER.password}";`,
      [`${listener}.scram-sha-256.sasl.jaas.config`]: `${MODULES}.scram.ScramLoginModule required;`,
      [`${listener}.scram-sha-512.sasl.jaas.config`]: `${MODULES}.scram.ScramLoginModule required;`,
      // Takes tokens that nobody has signed: what is tested is that ours get there.
      [`${listener}.oauthbearer.sasl.jaas.config`]: `${MODULES}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
      [`${listener}.connections.max.reauth.ms`]: String(SESSION_MS),
    },
    format: ['256', '512'].flatMap((bits) => [
      '--add-scram',
      `SCRAM-SHA-${bits}=[name=${USER.username},password=${USER.password}]`,
    ]),
  };
}
