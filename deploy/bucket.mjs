// Makes the bucket of METERFOLD_S3_BUCKET where it is not there: for stores of one's own, whose buckets nobody else makes.
import { CreateBucketCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';

const { METERFOLD_S3_BUCKET: Bucket, METERFOLD_S3_ENDPOINT: endpoint, METERFOLD_S3_REGION: region } = process.env;
const client = new S3Client({ endpoint, region, forcePathStyle: true });
try {
  await client.send(new HeadBucketCommand({ Bucket }));
  console.log(`bucket ${Bucket} is there`);
} catch (error) {
  if (error.$metadata?.httpStatusCode !== 404) throw error;
  await client.send(new CreateBucketCommand({ Bucket }));
  console.log(`bucket ${Bucket} is made`);
}
