import { Duration, aws_kms as kms, RemovalPolicy, Stack, aws_s3 as s3 } from 'aws-cdk-lib';
import { except } from '../exceptions.ts';
import type { Micrograph } from '../micrograph.ts';

export interface NamedBucket {
  bucket: s3.Bucket;
  /** The variable that tells functions its name. */
  variable: string;
}

/** The buckets that the manifest asks for, by its names. */
export function buckets(micrograph: Micrograph, key?: kms.IKey): Map<string, NamedBucket> {
  const { deployment, manifest, region } = micrograph;
  const made = (manifest.buckets ?? []).map(({ name, variable, versioned }): [string, NamedBucket] => {
    const bucket = new s3.Bucket(micrograph, `Bucket-${name}`, {
      // Names of buckets are the world's: the account makes it ours.
      bucketName: `${deployment.named(name)}-${Stack.of(micrograph).account}-${region}`,
      versioned,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      ...(key
        ? { encryption: s3.BucketEncryption.KMS, encryptionKey: key, bucketKeyEnabled: true }
        : { encryption: s3.BucketEncryption.S3_MANAGED }),
      lifecycleRules: [
        { abortIncompleteMultipartUploadAfter: Duration.days(1) },
        // Objects are read by rebuilds and audits only; an hour's are merged within two days.
        { transitions: [{ storageClass: s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transitionAfter: Duration.days(90) }] },
      ],
      removalPolicy: deployment.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    except(bucket, 'AwsSolutions-S1', 'Only functions of this stack read it; who does is in CloudTrail, and an access log would hold subjects that an erasure must reach.');
    return [name, { bucket, variable }];
  });
  return new Map(made);
}
