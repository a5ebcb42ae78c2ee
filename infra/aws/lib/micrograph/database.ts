import {
  aws_cloudwatch as cloudwatch, aws_ec2 as ec2, aws_iam as iam, type aws_lambda as lambda, aws_logs as logs, aws_rds as rds, Duration,
  RemovalPolicy, Stack,
} from 'aws-cdk-lib';
import { AUTHORITIES, authorities } from '../authorities.ts';
import { except } from '../exceptions.ts';
import type { Within } from '../function.ts';
import type { Fn } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';

/** Reads reports of a database, and no more; the functions that make its tables make this user too. */
const READER = 'reader';
/** Not PostgreSQL's own: what looks for that finds nothing. */
const PORT = 5433;
const ENGINE = rds.DatabaseClusterEngine.auroraPostgres({ version: rds.AuroraPostgresEngineVersion.VER_17_7 });
const BACKUP_DAYS = 7;
/** Aurora pauses after so long without a connection: the shortest that it takes. */
const PAUSES_AFTER = Duration.minutes(5);
/** An idle connection is ended by then, since the process that holds it may be frozen, and would keep Aurora from pausing. */
const IDLE = Duration.minutes(1);

/** Aurora PostgreSQL of one micrograph in one region, in a network of its own without a way out. */
export class Database {
  readonly cluster: rds.CfnDBCluster;
  readonly vpc: ec2.Vpc;
  private readonly micrograph: Micrograph;
  private readonly own: ec2.SecurityGroup;
  private readonly users: ec2.SecurityGroup;
  private readonly layer: lambda.LayerVersion;

  constructor(micrograph: Micrograph) {
    this.micrograph = micrograph;
    const { deployment, manifest, region } = micrograph;
    this.vpc = network(micrograph);
    const { vpc } = this;
    const group = (id: string, description: string) => new ec2.SecurityGroup(micrograph, id, { vpc, description, allowAllOutbound: false });
    this.own = group('DatabaseGroup', `The database of ${manifest.micrograph}`);
    this.users = group('DatabaseUsers', `Functions of ${manifest.micrograph} that use its database`);
    this.own.addIngressRule(this.users, ec2.Port.tcp(PORT), 'Functions of this micrograph');
    this.users.addEgressRule(this.own, ec2.Port.tcp(PORT), 'The database');
    // From here HTTPS leads to endpoints of AWS alone: there is no route to anywhere else.
    this.users.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'Endpoints of AWS in this network');
    endpoints(micrograph, vpc, this.users);
    this.cluster = aurora(micrograph, vpc, this.own);
    this.layer = authorities(micrograph, deployment, region);
  }

  /** Where a function runs that uses the database, and what it is told of it. */
  within({ relational }: Fn): Within {
    const owns = relational === 'owns';
    const { attrEndpointAddress: host, attrEndpointPort: port } = this.cluster;
    const user = owns ? owner(this.micrograph) : READER;
    return {
      vpc: this.vpc,
      securityGroup: this.users,
      layers: [this.layer],
      environment: {
        DATABASE_URL: `postgres://${user}@${host}:${port}/${owner(this.micrograph)}?sslmode=verify-full&sslrootcert=${AUTHORITIES}`,
        // No password is anywhere: IAM lets a role in as a user.
        DATABASE_AUTH: 'iam',
        ...(owns && { DATABASE_READER: READER }),
      },
    };
  }

  /** Lets a function in, as the one who owns the tables or as one who reads them. */
  letIn(fn: lambda.Function, { relational }: Fn): void {
    const { partition, region, account } = Stack.of(fn);
    const user = relational === 'owns' ? owner(this.micrograph) : READER;
    const resource = `arn:${partition}:rds-db:${region}:${account}:dbuser:${this.cluster.attrDbClusterResourceId}/${user}`;
    fn.addToRolePolicy(new iam.PolicyStatement({ actions: ['rds-db:connect'], resources: [resource] }));
  }

  /** What CloudWatch knows of it. */
  metric(metricName: string, statistic: string, period: Duration): cloudwatch.Metric {
    const dimensionsMap = { DBClusterIdentifier: this.cluster.ref };
    return new cloudwatch.Metric({ namespace: 'AWS/RDS', metricName, dimensionsMap, statistic, period });
  }
}

/** The database's name and its owner's: of letters, digits and underscores. */
function owner({ manifest }: Micrograph): string {
  return manifest.micrograph.replaceAll('-', '_');
}

/** Two zones, which is the least that Aurora takes, with subnets that lead nowhere. */
function network(micrograph: Micrograph): ec2.Vpc {
  const vpc = new ec2.Vpc(micrograph, 'Network', {
    vpcName: micrograph.deployment.named(micrograph.manifest.micrograph),
    ipAddresses: ec2.IpAddresses.cidr('10.0.0.0/24'),
    maxAzs: 2,
    natGateways: 0,
    subnetConfiguration: [{ name: 'isolated', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 26 }],
  });
  const logGroup = new logs.LogGroup(micrograph, 'NetworkLog', {
    logGroupName: `/aws/vpc/${micrograph.deployment.named(micrograph.manifest.micrograph)}`,
    retention: logs.RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const role = new iam.Role(micrograph, 'NetworkLogger', { assumedBy: new iam.ServicePrincipal('vpc-flow-logs.amazonaws.com') });
  role.addToPolicy(
    new iam.PolicyStatement({ actions: ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'], resources: [logGroup.logGroupArn] }),
  );
  // What was refused tells that somebody tried; what was let in is the functions' own.
  new ec2.CfnFlowLog(micrograph, 'NetworkFlows', {
    resourceId: vpc.vpcId,
    resourceType: 'VPC',
    trafficType: 'REJECT',
    deliverLogsPermissionArn: role.roleArn,
    logGroupName: logGroup.logGroupName,
  });
  return vpc;
}

/** The ways to what the functions use of AWS: tables always, the rest as they declare it. */
function endpoints(micrograph: Micrograph, vpc: ec2.Vpc, users: ec2.SecurityGroup): void {
  const { manifest } = micrograph;
  const { account } = Stack.of(vpc);
  const inside = manifest.functions.filter((it) => it.relational !== undefined);
  const needs = (is: (fn: Fn) => boolean) => inside.some(is);
  // What is sent through them is of this account.
  const own = () =>
    new iam.PolicyStatement({
      principals: [new iam.AnyPrincipal()],
      actions: ['*'],
      resources: ['*'],
      conditions: { StringEquals: { 'aws:PrincipalAccount': account } },
    });
  vpc.addGatewayEndpoint('DynamoDb', { service: ec2.GatewayVpcEndpointAwsService.DYNAMODB }).addToPolicy(own());
  if (needs((it) => (it.archives ?? []).length > 0)) {
    vpc.addGatewayEndpoint('S3', { service: ec2.GatewayVpcEndpointAwsService.S3 }).addToPolicy(own());
  }
  const { EVENTBRIDGE, LAMBDA, SQS } = ec2.InterfaceVpcEndpointAwsService;
  const used: [string, ec2.InterfaceVpcEndpointAwsService, boolean][] = [
    ['Events', EVENTBRIDGE, needs((it) => it.putsEvents)],
    ['Queues', SQS, needs((it) => (it.sends ?? []).length > 0)],
    // Which function takes from a queue.
    ['Functions', LAMBDA, needs((it) => (it.sends ?? []).length > 0)],
  ];
  if (!used.some(([, , is]) => is)) return;
  const group = new ec2.SecurityGroup(micrograph, 'EndpointsGroup', { vpc, description: `Endpoints of AWS for ${manifest.micrograph}`, allowAllOutbound: false });
  group.addIngressRule(users, ec2.Port.tcp(443), 'Functions of this micrograph');
  for (const [id, service] of used.filter(([, , is]) => is)) {
    vpc.addInterfaceEndpoint(id, { service, open: false, securityGroups: [group], privateDnsEnabled: true }).addToPolicy(own());
  }
}

function aurora(micrograph: Micrograph, vpc: ec2.Vpc, group: ec2.SecurityGroup): rds.CfnDBCluster {
  const { deployment, manifest } = micrograph;
  const { least, most } = deployment.database;
  const name = deployment.named(manifest.micrograph);
  const log = new logs.LogGroup(micrograph, 'DatabaseLog', {
    logGroupName: `/aws/rds/cluster/${name}/postgresql`,
    retention: logs.RetentionDays.ONE_MONTH,
    removalPolicy: RemovalPolicy.DESTROY,
  });
  const subnets = new rds.CfnDBSubnetGroup(micrograph, 'DatabaseSubnets', {
    dbSubnetGroupDescription: `Of the database of ${name}`,
    subnetIds: vpc.isolatedSubnets.map((it) => it.subnetId),
  });
  const parameters = new rds.CfnDBClusterParameterGroup(micrograph, 'DatabaseParameters', {
    description: `Of the database of ${name}`,
    family: `aurora-postgresql${ENGINE.engineVersion?.majorVersion}`,
    parameters: {
      'rds.force_ssl': '1',
      idle_session_timeout: String(IDLE.toMilliseconds()),
      // A statement that takes longer is in the log: never what is bound to it, which may be personal.
      log_min_duration_statement: '2000',
      log_parameter_max_length: '0',
    },
  });
  const cluster = new rds.CfnDBCluster(micrograph, 'Database', {
    dbClusterIdentifier: name,
    databaseName: owner(micrograph),
    engine: ENGINE.engineType,
    ...(ENGINE.engineVersion?.fullVersion && { engineVersion: ENGINE.engineVersion.fullVersion }),
    port: PORT,
    masterUsername: owner(micrograph),
    masterUserAuthenticationType: 'iam-db-auth',
    enableIamDatabaseAuthentication: true,
    storageEncrypted: true,
    dbSubnetGroupName: subnets.ref,
    vpcSecurityGroupIds: [group.securityGroupId],
    dbClusterParameterGroupName: parameters.ref,
    serverlessV2ScalingConfiguration: {
      minCapacity: least,
      maxCapacity: most,
      ...(least === 0 && { secondsUntilAutoPause: PAUSES_AFTER.toSeconds() }),
    },
    backupRetentionPeriod: BACKUP_DAYS,
    copyTagsToSnapshot: true,
    deletionProtection: deployment.retain,
    enableCloudwatchLogsExports: ['postgresql'],
  });
  cluster.node.addDependency(log);
  // What it holds can be made anew from events, in hours: a last snapshot is quicker.
  cluster.applyRemovalPolicy(deployment.retain ? RemovalPolicy.SNAPSHOT : RemovalPolicy.DESTROY);
  if (!deployment.retain) except(cluster, 'AwsSolutions-RDS10', 'The deployment says that nothing of it is kept: it can be deleted as a whole.');
  const writer = new rds.CfnDBInstance(micrograph, 'DatabaseWriter', {
    dbInstanceIdentifier: `${name}-1`,
    dbClusterIdentifier: cluster.ref,
    dbInstanceClass: 'db.serverless',
    engine: ENGINE.engineType,
    publiclyAccessible: false,
    autoMinorVersionUpgrade: true,
  });
  writer.applyRemovalPolicy(RemovalPolicy.DESTROY);
  except(writer, 'AwsSolutions-RDS10', 'Its cluster, which holds the data, is protected; the writer holds nothing.');
  return cluster;
}
