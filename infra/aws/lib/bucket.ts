// A bucket that nobody but the functions of a deployment reads.

import { Duration, RemovalPolicy, aws_s3 as s3, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Deployment } from './deployment.ts';

export interface PrivateBucketProps extends Pick<s3.BucketProps, 'versioned' | 'encryptionKey'> {
  /** Before any prefix of the deployment. */
  name: string;
  /** Besides the rule that ends what was uploaded in part. */
  lifecycleRules?: s3.LifecycleRule[];
  /** Whether it outlives its stack, where the deployment does. All do, by default. */
  retain?: boolean;
}

export function privateBucket(scope: Construct, id: string, deployment: Deployment, props: PrivateBucketProps): s3.Bucket {
  const { name, versioned = false, encryptionKey, lifecycleRules = [], retain = true } = props;
  const { account, region } = Stack.of(scope);
  return new s3.Bucket(scope, id, {
    // Names of buckets are the world's: the account makes it ours.
    bucketName: `${deployment.named(name)}-${account}-${region}`,
    versioned,
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
    enforceSSL: true,
    minimumTLSVersion: 1.2,
    ...(encryptionKey
      ? { encryption: s3.BucketEncryption.KMS, encryptionKey, bucketKeyEnabled: true }
      : { encryption: s3.BucketEncryption.S3_MANAGED }),
    lifecycleRules: [{ abortIncompleteMultipartUploadAfter: Duration.days(1) }, ...lifecycleRules],
    removalPolicy: deployment.retain && retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
  });
}
