import { aws_dynamodb as dynamodb, RemovalPolicy } from 'aws-cdk-lib';
import type { Table } from '../manifest.ts';
import type { Micrograph } from '../micrograph.ts';

const { STRING, NUMBER } = dynamodb.AttributeType;

/** The tables, by the manifest's names. Regional ones: replicas of a global table would overwrite newer items with older. */
export function tables(micrograph: Micrograph): Map<string, dynamodb.Table> {
  return new Map(micrograph.manifest.tables.map((table) => [table.name, make(micrograph, table)]));
}

function make(micrograph: Micrograph, { name, indexes, ttl, stream }: Table): dynamodb.Table {
  const { deployment, manifest } = micrograph;
  // A projection is made anew from events; nothing else is.
  const isProjection = manifest.projections.some((it) => it.deployed === name);
  const retain = deployment.retain && !isProjection;
  const table = new dynamodb.Table(micrograph, `Table-${name}`, {
    tableName: deployment.named(name),
    partitionKey: { name: 'pk', type: STRING },
    sortKey: { name: 'sk', type: STRING },
    billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
    pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
    deletionProtection: retain,
    removalPolicy: retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    ...(ttl !== undefined && { timeToLiveAttribute: ttl }),
    ...(stream && { stream: dynamodb.StreamViewType.NEW_IMAGE }),
  });
  for (const index of indexes) {
    table.addGlobalSecondaryIndex({
      indexName: index.name,
      partitionKey: { name: index.partition, type: STRING },
      sortKey: { name: index.sort, type: index.sort_type === 'N' ? NUMBER : STRING },
      ...(index.include
        ? { projectionType: dynamodb.ProjectionType.INCLUDE, nonKeyAttributes: index.include }
        : { projectionType: dynamodb.ProjectionType.ALL }),
    });
  }
  return table;
}
