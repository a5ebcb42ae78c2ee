// Before all regions: CloudFront with its cache, the way from a path to an app, and the firewall.

import { aws_certificatemanager as acm, aws_cloudfront as cloudfront, aws_cloudfront_origins as origins, CfnOutput, Duration, RemovalPolicy, aws_route53 as route53, aws_route53_targets as targets, aws_s3 as s3, Stack, aws_wafv2 as wafv2 } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { readFileSync } from 'node:fs';
import type { Deployment } from './deployment.ts';
import { except } from './exceptions.ts';
import { type Domain, zone } from './gateway-stack.ts';

/** What is at a path of the public name, besides the graph. */
export interface App {
  /** Such as `/admin`; it and what is below it. */
  path: string;
  /** An HTTPS origin. */
  origin: string;
}

export interface EdgeProps {
  deployment: Deployment;
  domain: Domain;
  apps?: App[];
  /** Requests that one address may make in five minutes. */
  requestsPerAddress?: number;
}

/** CloudFront's certificates and firewalls live there. */
export const EDGE_REGION = 'us-east-1';

const DEFAULT_RATE = 3_000;
/** No body of a GraphQL request is larger; the gateway has a limit of its own. WAF inspects 16 KB, and sees longer ones. */
const BODY_BYTES = 64 * 1024;

export class EdgeStack extends Stack {
  readonly distribution: cloudfront.Distribution;

  constructor(scope: Construct, { deployment, domain, apps = [], requestsPerAddress = DEFAULT_RATE }: EdgeProps) {
    super(scope, deployment.named('edge'), {
      env: { region: EDGE_REGION, ...(deployment.account !== undefined && { account: deployment.account }) },
      description: 'Tributary: what stands before all regions',
    });
    const hosted = zone(this, domain);
    const certificate = new acm.Certificate(this, 'Certificate', {
      domainName: domain.name,
      validation: acm.CertificateValidation.fromDns(hosted),
    });
    const removalPolicy = deployment.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
    const logs = logBucket(this, removalPolicy);
    const pages = new s3.Bucket(this, 'Pages', {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      versioned: true,
      removalPolicy,
    });
    except(pages, 'AwsSolutions-S1', 'CloudFront alone reads it, and logs who asks.');

    const graph = new origins.HttpOrigin(domain.origin, { originId: 'graph', ...ORIGIN });
    const elsewhere = new origins.HttpOrigin(domain.fallback, { originId: 'graph-elsewhere', ...ORIGIN });
    const others = apps.map(({ path, origin }) => ({
      path,
      origin: new origins.HttpOrigin(origin, { originId: `app${path.replaceAll('/', '-')}`, ...ORIGIN }),
    }));
    const routed = [
      { path: '/graphql', origin: 'graph', fallback: 'graph-elsewhere' },
      ...apps.map(({ path }) => ({ path, origin: `app${path.replaceAll('/', '-')}` })),
    ].sort((a, b) => b.path.length - a.path.length);
    const route: cloudfront.FunctionAssociation = {
      function: new cloudfront.Function(this, 'Route', {
        functionName: deployment.named('route'),
        comment: 'Which app a path belongs to; one form of what the cache key is made of',
        runtime: cloudfront.FunctionRuntime.JS_2_0,
        code: cloudfront.FunctionCode.fromInline(viewerRequest(routed)),
      }),
      eventType: cloudfront.FunctionEventType.VIEWER_REQUEST,
    };
    const api: Omit<cloudfront.AddBehaviorOptions, 'cachePolicy'> = {
      viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
      allowedMethods: cloudfront.AllowedMethods.ALLOW_ALL,
      cachedMethods: cloudfront.CachedMethods.CACHE_GET_HEAD_OPTIONS,
      originRequestPolicy: requestPolicy(this, deployment),
      responseHeadersPolicy: cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS,
      // The gateway compresses: CloudFront doesn't know GraphQL's own media type.
      compress: false,
      functionAssociations: [route],
    };
    this.distribution = new cloudfront.Distribution(this, 'Distribution', {
      comment: `Tributary: ${domain.name}`,
      domainNames: [domain.name],
      certificate,
      minimumProtocolVersion: cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
      httpVersion: cloudfront.HttpVersion.HTTP2_AND_3,
      webAclId: firewall(this, deployment, requestsPerAddress).attrArn,
      enableLogging: true,
      logBucket: logs,
      logFilePrefix: 'edge/',
      defaultRootObject: 'index.html',
      defaultBehavior: {
        origin: origins.S3BucketOrigin.withOriginAccessControl(pages),
        viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
        cachePolicy: cloudfront.CachePolicy.CACHING_OPTIMIZED,
        responseHeadersPolicy: cloudfront.ResponseHeadersPolicy.SECURITY_HEADERS,
      },
      additionalBehaviors: {
        '/graphql*': { ...api, origin: graph, cachePolicy: graphCache(this, deployment) },
        // Never asked by its pattern: it makes the other regions' origin known, which the function picks.
        '/.elsewhere': { ...api, origin: elsewhere, cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED },
        ...Object.fromEntries(
          others.map(({ path, origin }) => [
            `${path}*`,
            {
              ...api,
              origin,
              cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
              originRequestPolicy: cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            },
          ]),
        ),
      },
    });
    // The purger has it drop what carries a tag; the gateway names what an answer shows.
    const distribution = this.distribution.node.defaultChild as cloudfront.CfnDistribution;
    distribution.addPropertyOverride('DistributionConfig.CacheTagConfig', { HeaderName: 'cache-tag' });
    new CfnOutput(this, 'Id', { value: this.distribution.distributionId, description: 'For `tributary.distribution` of cdk.json' });
    except(this.distribution, 'AwsSolutions-CFR1', 'The graph is for every country.');
    for (const Record of [route53.ARecord, route53.AaaaRecord]) {
      new Record(this, Record === route53.ARecord ? 'Name4' : 'Name6', {
        zone: hosted,
        recordName: domain.name,
        target: route53.RecordTarget.fromAlias(new targets.CloudFrontTarget(this.distribution)),
      });
    }
  }
}

const ORIGIN: origins.HttpOriginProps = {
  protocolPolicy: cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
  originSslProtocols: [cloudfront.OriginSslPolicy.TLS_V1_2],
  // What API Gateway gives an answer is 30 s.
  readTimeout: Duration.seconds(31),
  connectionAttempts: 2,
  connectionTimeout: Duration.seconds(3),
  keepaliveTimeout: Duration.seconds(30),
};

/** The function that runs before the cache, with its routes. */
export function viewerRequest(apps: { path: string; origin: string; fallback?: string }[]): string {
  const code = readFileSync(new URL('./edge/viewer-request.js', import.meta.url), 'utf8');
  const marked = 'var APPS = [];';
  if (!code.includes(marked)) throw new Error(`viewer-request.js has no \`${marked}\``);
  return code.replace(marked, `var APPS = ${JSON.stringify(apps)};`);
}

/** Persisted queries by GET: what identifies an answer, and for how long the gateway says. */
function graphCache(stack: Stack, deployment: Deployment): cloudfront.CachePolicy {
  return new cloudfront.CachePolicy(stack, 'GraphCache', {
    cachePolicyName: deployment.named('graph'),
    comment: 'GraphQL by GET; the gateway says for how long',
    minTtl: Duration.seconds(0),
    // Without a word of the gateway nothing is kept.
    defaultTtl: Duration.seconds(0),
    maxTtl: Duration.days(1),
    queryStringBehavior: cloudfront.CacheQueryStringBehavior.allowList('query', 'operationName', 'variables', 'extensions'),
    // Who asks is part of the key, so that nobody is given another's answer whatever it says of itself.
    headerBehavior: cloudfront.CacheHeaderBehavior.allowList('Accept', 'Authorization'),
    cookieBehavior: cloudfront.CacheCookieBehavior.none(),
    enableAcceptEncodingGzip: true,
    enableAcceptEncodingBrotli: true,
  });
}

/** What reaches the gateway besides the cache key; not the viewer's Host, which a regional domain would refuse. */
function requestPolicy(stack: Stack, deployment: Deployment): cloudfront.OriginRequestPolicy {
  return new cloudfront.OriginRequestPolicy(stack, 'GraphRequest', {
    originRequestPolicyName: deployment.named('graph'),
    comment: 'What the gateway reads of a request',
    headerBehavior: cloudfront.OriginRequestHeaderBehavior.allowList(
      'Content-Type', 'Origin', 'X-Correlation-Id', 'Traceparent', 'X-Consistency-Token',
      'Apollo-Require-Preflight', 'Apollographql-Client-Name', 'Apollographql-Client-Version',
    ),
    queryStringBehavior: cloudfront.OriginRequestQueryStringBehavior.none(),
    cookieBehavior: cloudfront.OriginRequestCookieBehavior.none(),
  });
}

function logBucket(stack: Stack, removalPolicy: RemovalPolicy): s3.Bucket {
  const bucket = new s3.Bucket(stack, 'Logs', {
    blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
    encryption: s3.BucketEncryption.S3_MANAGED,
    enforceSSL: true,
    // CloudFront writes its logs by access control list.
    objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_PREFERRED,
    lifecycleRules: [{ expiration: Duration.days(30) }],
    removalPolicy,
  });
  except(bucket, 'AwsSolutions-S1', 'It holds access logs; a log of the log says nothing more.');
  return bucket;
}

function firewall(stack: Stack, deployment: Deployment, requestsPerAddress: number): wafv2.CfnWebACL {
  const visible = (metricName: string): wafv2.CfnWebACL.VisibilityConfigProperty => ({
    cloudWatchMetricsEnabled: true,
    sampledRequestsEnabled: true,
    metricName,
  });
  const managed = (priority: number, name: string, excluded: string[] = []): wafv2.CfnWebACL.RuleProperty => ({
    name,
    priority,
    overrideAction: { none: {} },
    visibilityConfig: visible(name),
    statement: {
      managedRuleGroupStatement: {
        vendorName: 'AWS',
        name,
        ruleActionOverrides: excluded.map((it) => ({ name: it, actionToUse: { count: {} } })),
      },
    },
  });
  return new wafv2.CfnWebACL(stack, 'Firewall', {
    name: deployment.named('edge'),
    scope: 'CLOUDFRONT',
    defaultAction: { allow: {} },
    visibilityConfig: visible('edge'),
    rules: [
      {
        name: 'rate',
        priority: 0,
        action: { block: {} },
        visibilityConfig: visible('rate'),
        statement: { rateBasedStatement: { limit: requestsPerAddress, aggregateKeyType: 'IP', evaluationWindowSec: 300 } },
      },
      {
        name: 'body',
        priority: 1,
        action: { block: {} },
        visibilityConfig: visible('body'),
        statement: {
          sizeConstraintStatement: {
            fieldToMatch: { body: { oversizeHandling: 'MATCH' } },
            comparisonOperator: 'GT',
            size: BODY_BYTES,
            textTransformations: [{ priority: 0, type: 'NONE' }],
          },
        },
      },
      managed(2, 'AWSManagedRulesAmazonIpReputationList'),
      managed(3, 'AWSManagedRulesKnownBadInputsRuleSet'),
      // Queries are larger than its 8 KB, and may hold what looks like a path or markup.
      managed(4, 'AWSManagedRulesCommonRuleSet', ['SizeRestrictions_BODY', 'SizeRestrictions_QUERYSTRING', 'GenericRFI_BODY', 'CrossSiteScripting_BODY', 'CrossSiteScripting_QUERYARGUMENTS']),
    ],
  });
}
