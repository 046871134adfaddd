/** The archive in S3, over a real server: the promises of any archive, and what is S3's own. */
import { archiveConformance } from '../../src/conformance/archive.ts';
import { sweepableConformance } from '../../src/conformance/sweepable.ts';
import { openS3Sweep } from '../../src/sinks/archive/s3-sweep.ts';
import { openS3Archive } from '../../src/sinks/archive/s3.ts';
import { describeS3 } from '../support/s3-server.ts';

describeS3('S3 archive', (server) => {
  archiveConformance('S3', async () => {
    const archive = await openS3Archive({ ...server().access, bucket: await server().bucket() });
    return { archive, close: async () => archive.close() };
  });

  sweepableConformance('S3', async () => {
    const options = { ...server().access, bucket: await server().bucket(), prefix: 'a/b' };
    const [archive, store] = [await openS3Archive(options), openS3Sweep(options)];
    const close = async (): Promise<void> => {
      archive.close();
      store.close();
    };
    return { archive, store, close };
  });
});
