/** Suites over an S3. */
import { afterAll, beforeAll } from 'vitest';
import { openS3, type S3Server } from './s3-server.ts';
import { s3 } from './services/s3.ts';
import { describeService } from './services/suites.ts';
import type { Need } from './services/ways.ts';

/** The suite over an S3; with `own` its server makes users, too. */
export function describeS3(title: string, suite: (server: () => S3Server) => void, need: Need = 'any'): void {
  describeService(title, s3, need, (found) => {
    let server: S3Server | undefined;
    beforeAll(async () => {
      server = await openS3(found);
    });
    afterAll(() => server?.stop());
    suite(() => server!);
  });
}
