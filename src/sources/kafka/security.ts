/** How the log makes itself known to the brokers. */
import type { OauthbearerProviderResponse, SASLOptions } from 'kafkajs';
import { asError, MeterError } from '../../errors.ts';

interface Password {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}
/** A token is asked for again with each connection, and when the broker wants another. */
interface Bearer {
  readonly mechanism: 'oauthbearer';
  readonly token: () => Promise<string>;
}
/** Amazon MSK, by the credentials that the machine or the environment has. */
interface MskIam {
  readonly mechanism: 'aws-msk-iam';
  readonly region: string;
}
export type Sasl = Password | Bearer | MskIam;

const SIGNER = 'aws-msk-iam-sasl-signer-js';
interface Signer {
  generateAuthToken(options: { readonly region: string }): Promise<{ readonly token: string }>;
}

/** Throws BAD_CONFIG where Amazon's signer is not installed: few need it, and it brings much with it. */
export async function saslOf(sasl: Sasl): Promise<SASLOptions> {
  switch (sasl.mechanism) {
    case 'plain':
    case 'scram-sha-256':
    case 'scram-sha-512':
      return { ...sasl };
    case 'oauthbearer':
      return bearer(sasl.token);
    case 'aws-msk-iam': {
      const signer = await loadSigner();
      return bearer(async () => (await signer.generateAuthToken({ region: sasl.region })).token);
    }
  }
}

const bearer = (token: () => Promise<string>): SASLOptions => ({
  mechanism: 'oauthbearer',
  oauthBearerProvider: async (): Promise<OauthbearerProviderResponse> => ({ value: await token() }),
});

async function loadSigner(): Promise<Signer> {
  try {
    return (await import(SIGNER)) as Signer;
  } catch (cause) {
    throw new MeterError('BAD_CONFIG', `open Kafka: ${SIGNER} cannot be loaded: ${asError(cause).message}`, {
      field: 'sasl',
      value: 'aws-msk-iam',
      allowed: `npm install ${SIGNER}`,
      cause,
    });
  }
}
