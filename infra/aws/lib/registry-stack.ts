// The registry in a region: the store of schemas, which gateways read, and the function that checks and deploys them.

import { aws_apigatewayv2_authorizers as authorizers, Duration, aws_iam as iam, type aws_lambda as lambda, type aws_s3 as s3, aws_sns as sns, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { privateBucket } from './bucket.ts';
import { dashboard, rowsOfApi } from './dashboard.ts';
import { type Deployment, DeploymentError } from './deployment.ts';
import { except, exceptWildcard } from './exceptions.ts';
import { makeFunction } from './function.ts';
import { serve } from './http-api.ts';

/** What the registry needs, as its binary prints it (`registry manifest`). */
export interface RegistryManifest {
  service: string;
  bucket: { name: string; variable: string; versioned: boolean; usage: string };
  function: { handler: string; timeoutSeconds: number; memoryMb: number };
}

/** What the holder of a token may do; services/registry's README says more. */
export interface Grant {
  name: string;
  /** The token's SHA-256, in hexadecimal: the token itself is nowhere. */
  sha256: string;
  may: 'read' | 'publish' | 'admin';
  variants?: string[];
  subgraphs?: string[];
}

export interface RegistryProps {
  deployment: Deployment;
  region: string;
  manifest: RegistryManifest;
  /** Who may call, by bearer tokens; where there are none, IAM says who. */
  tokens?: Grant[];
}

/** Lambda takes 4 KB of variables, of which the others have their share. */
const MAX_TOKENS_BYTES = 3_000;

export class RegistryStack extends Stack {
  readonly bucket: s3.Bucket;
  readonly fn: lambda.Function;

  constructor(scope: Construct, { deployment, region, manifest, tokens }: RegistryProps) {
    const { service, bucket, function: declared } = manifest;
    super(scope, `${deployment.named(service)}-${region}`, {
      env: { region, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: `Tributary: the registry of schemas in ${region}`,
    });
    const alarmTopic = sns.Topic.fromTopicArn(this, 'Alarms', deployment.find(this, 'alarms/topic'));
    this.bucket = privateBucket(this, 'Schemas', deployment, {
      name: bucket.name,
      versioned: bucket.versioned,
      lifecycleRules: [
        // Checks look back 30 days, by default.
        { prefix: bucket.usage, expiration: Duration.days(90), noncurrentVersionExpiration: Duration.days(1) },
        // The history says what a pointer showed; its versions are against slips of the hand.
        { noncurrentVersionExpiration: Duration.days(365) },
      ],
    });
    except(this.bucket, 'AwsSolutions-S1', 'Who publishes is in its own history, with name and time; nobody reads it but the registry and the gateway.');
    this.fn = makeFunction(this, { deployment }, deployment.code('registry'), {
      name: service,
      ...declared,
      environment: { [bucket.variable]: this.bucket.bucketName, ...guard(tokens) },
    });
    allowStore(this.fn, this.bucket, bucket.usage);
    const served = serve(this, deployment, {
      name: service,
      description: `Checks and deploys schemas in ${region}`,
      fn: this.fn,
      alarmTopic,
      rate: 50,
      burst: 100,
      ...(tokens
        ? { open: 'The registry itself checks the bearer token of each request, and what its holder may do to which subgraph.' }
        : { authorizer: new authorizers.HttpIamAuthorizer() }),
    });
    dashboard(this, deployment, service, region, rowsOfApi(served, this.fn, region));
    deployment.publish(this, 'registry/bucket', this.bucket.bucketName);
    deployment.publish(this, 'registry/url', served.api.apiEndpoint);
  }
}

function guard(tokens: Grant[] | undefined): Record<string, string> {
  if (!tokens) return { REGISTRY_AUTH: 'iam' };
  const text = JSON.stringify(tokens);
  if (Buffer.byteLength(text) > MAX_TOKENS_BYTES) {
    throw new DeploymentError(`${tokens.length} tokens are more than a function's variables hold: use fewer, or let IAM say who may call`);
  }
  return { REGISTRY_TOKENS: text };
}

/** It reads all of the store and writes all but usage; it removes nothing. */
function allowStore(fn: lambda.Function, bucket: s3.Bucket, usage: string): void {
  const { role } = fn;
  const objects = (keys: string[]) => keys.map((it) => bucket.arnForObjects(it));
  const written = objects(['objects/*', 'variants/*']);
  const read = objects([`${usage}*`]);
  for (const [actions, resources] of [
    // What isn't there is told from what is forbidden to those alone who may list.
    [['s3:ListBucket'], [bucket.bucketArn]],
    [['s3:GetObject', 's3:PutObject'], [...written, ...objects(['settings.json'])]],
    [['s3:GetObject'], read],
  ] as const) {
    fn.addToRolePolicy(new iam.PolicyStatement({ actions: [...actions], resources: [...resources] }));
  }
  for (const it of [...written, ...read]) {
    exceptWildcard(role ?? fn, it, 'Objects are named by hash, version or time: nobody knows them beforehand, and each folder is for one purpose.');
  }
}
