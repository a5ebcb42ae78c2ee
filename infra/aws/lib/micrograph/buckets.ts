import { Duration, type aws_kms as kms, aws_s3 as s3 } from 'aws-cdk-lib';
import { privateBucket } from '../bucket.ts';
import { except } from '../exceptions.ts';
import type { Micrograph } from '../micrograph.ts';

export interface NamedBucket {
  bucket: s3.Bucket;
  /** The variable that tells functions its name. */
  variable: string;
}

/** The buckets that the manifest asks for, by its names. */
export function buckets(micrograph: Micrograph, key?: kms.IKey): Map<string, NamedBucket> {
  const { deployment, manifest } = micrograph;
  const made = (manifest.buckets ?? []).map(({ name, variable, versioned }): [string, NamedBucket] => {
    const bucket = privateBucket(micrograph, `Bucket-${name}`, deployment, {
      name,
      versioned,
      ...(key && { encryptionKey: key }),
      // Objects are read by rebuilds and audits only; an hour's are merged within two days.
      lifecycleRules: [{ transitions: [{ storageClass: s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transitionAfter: Duration.days(90) }] }],
    });
    except(bucket, 'AwsSolutions-S1', 'Only functions of this stack read it; who does is in CloudTrail, and an access log would hold subjects that an erasure must reach.');
    return [name, { bucket, variable }];
  });
  return new Map(made);
}
