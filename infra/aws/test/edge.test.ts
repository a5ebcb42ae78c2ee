import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import { Template } from 'aws-cdk-lib/assertions';
import { viewerRequest } from '../lib/edge-stack.ts';
import { Domain } from '../lib/gateway-stack.ts';
import { AWAY, DOMAIN, HOME, type Json, one, resources, stacks } from './support.ts';

const suite = stacks({ apps: [{ path: '/admin', origin: 'admin.example.com' }] });
const edge = suite.edge!;
const distribution: Json = one(edge, 'AWS::CloudFront::Distribution', () => true).DistributionConfig;

/** What the function at the edge makes of a request, and which origin it chooses. */
function routed(request: { uri: string; method?: string; querystring?: Json; headers?: Json }): { request: Json; origin: Json } {
  const source = viewerRequest([
    { path: '/graphql', origin: 'graph', fallback: 'graph-elsewhere' },
    { path: '/admin', origin: 'app-admin' },
  ]);
  const chosen: { origin: Json } = { origin: undefined };
  const cf = {
    selectRequestOriginById: (id: string) => { chosen.origin = id; },
    createRequestOriginGroup: (group: Json) => { chosen.origin = group; },
  };
  const event = { request: { method: 'GET', querystring: {}, headers: {}, ...request } };
  const script = `${source.replace("import cf from 'cloudfront';", '')}\nhandler(event)`;
  const answer: Json = vm.runInNewContext(script, { cf, event });
  return JSON.parse(JSON.stringify({ request: answer, origin: chosen.origin }));
}

test('queries by GET fail over to another region, mutations by POST never', () => {
  for (const method of ['GET', 'HEAD']) {
    const { origin } = routed({ uri: '/graphql', method });
    assert.deepEqual(origin.originIds, [{ originId: 'graph' }, { originId: 'graph-elsewhere' }]);
    assert.deepEqual(origin.failoverCriteria.statusCodes, [500, 502, 503, 504]);
  }
  for (const method of ['POST', 'PUT', 'OPTIONS']) assert.equal(routed({ uri: '/graphql', method }).origin, 'graph');
});

test('a path leads to its app, and only to it', () => {
  assert.equal(routed({ uri: '/admin/users' }).origin, 'app-admin');
  assert.equal(routed({ uri: '/admin' }).origin, 'app-admin');
  assert.equal(routed({ uri: '/administration' }).origin, undefined);
  assert.equal(routed({ uri: '/' }).origin, undefined);
  assert.equal(routed({ uri: '/graphql/' }).request.uri, '/graphql');
});

test('what the cache key is made of has one form', () => {
  const { request } = routed({
    uri: '/graphql',
    querystring: { utm_source: { value: 'x' }, query: { value: '%7Ba%7D' }, extensions: { value: '%7B%7D' } },
    headers: { accept: { value: 'application/graphql-response+json; charset=utf-8, application/json;q=0.9' } },
  });
  assert.deepEqual(request.querystring, { extensions: { value: '%7B%7D' }, query: { value: '%7Ba%7D' } });
  assert.equal(request.headers.accept.value, 'application/graphql-response+json');
  const accept = (value?: string) => routed({ uri: '/graphql', headers: value === undefined ? {} : { accept: { value } } }).request.headers.accept.value;
  assert.equal(accept('*/*'), 'application/json');
  assert.equal(accept(), 'application/json');
  assert.equal(accept('text/html,application/xhtml+xml'), 'text/html');
  // Other apps' requests are theirs.
  assert.deepEqual(routed({ uri: '/admin', querystring: { q: { value: '1' } } }).request.querystring, { q: { value: '1' } });
});

test('the cache key of the graph: the four parameters, who asks, and the media type', () => {
  const policy = one(edge, 'AWS::CloudFront::CachePolicy', () => true).CachePolicyConfig;
  const key = policy.ParametersInCacheKeyAndForwardedToOrigin;
  assert.deepEqual(key.QueryStringsConfig, { QueryStringBehavior: 'whitelist', QueryStrings: ['query', 'operationName', 'variables', 'extensions'] });
  assert.deepEqual(key.HeadersConfig.Headers, ['Accept', 'Authorization']);
  assert.equal(key.CookiesConfig.CookieBehavior, 'none');
  assert.equal(policy.DefaultTTL, 0, 'what says nothing of caching is not cached');
  assert.equal(policy.MinTTL, 0);
});

test('every origin that the function names is one of the distribution', () => {
  const ids: string[] = distribution.Origins.map((it: Json) => it.Id);
  const code: string = one(edge, 'AWS::CloudFront::Function', () => true).FunctionCode;
  const apps = JSON.parse(/var APPS = (\[.*?\]);/.exec(code)![1]!) as { origin: string; fallback?: string }[];
  assert.equal(apps.length, 2);
  for (const { origin, fallback } of apps) {
    assert.ok(ids.includes(origin), origin);
    if (fallback) assert.ok(ids.includes(fallback), fallback);
  }
  assert.ok(Buffer.byteLength(code) < 10_240, 'a CloudFront function has 10 KB at most');
});

test('pages come from a bucket that CloudFront alone can read', () => {
  const pages = distribution.Origins.find((it: Json) => it.S3OriginConfig);
  assert.ok(pages.OriginAccessControlId);
  Template.fromStack(edge).hasResourceProperties('AWS::CloudFront::OriginAccessControl', {
    OriginAccessControlConfig: { SigningBehavior: 'always', SigningProtocol: 'sigv4' },
  });
});

test('the firewall limits requests of an address and the size of bodies', () => {
  const rules: Json[] = one(edge, 'AWS::WAFv2::WebACL', () => true).Rules;
  const rate = rules.find((it) => it.Name === 'rate');
  assert.equal(rate.Statement.RateBasedStatement.Limit, 3_000);
  assert.ok(rate.Action.Block);
  assert.ok(rules.find((it) => it.Name === 'body').Action.Block);
  assert.equal(new Set(rules.map((it) => it.Priority)).size, rules.length);
  assert.ok(distribution.WebACLId);
});

test('the nearest region answers; a second try is never answered by the region of the first', () => {
  const records = suite.gateways.flatMap((stack) => resources(stack, 'AWS::Route53::RecordSet').map((it) => ({ ...it, at: stack.region })));
  const nearest = (name: string) => Object.fromEntries(records.filter((it) => it.Name === name && it.Region).map((it) => [it.Region, it.at]));
  assert.deepEqual(nearest(DOMAIN.origin), { [HOME]: HOME, [AWAY]: AWAY });
  assert.deepEqual(nearest(DOMAIN.fallback), { [HOME]: AWAY, [AWAY]: HOME });
  for (const record of records.filter((it) => it.Region)) assert.ok(record.HealthCheckId, 'a region that is not well is not led to');
  for (const stack of suite.gateways) {
    const { HealthCheckConfig: check } = one(stack, 'AWS::Route53::HealthCheck', () => true);
    assert.equal(check.FullyQualifiedDomainName, DOMAIN.of(stack.region), 'each region is asked by its own name');
    assert.equal(check.ResourcePath, '/health');
  }
});

test('what changed leaves the cache: the distribution reads tags, each region may invalidate it and nothing else', () => {
  assert.deepEqual(distribution.CacheTagConfig, { HeaderName: 'cache-tag' });
  assert.equal(suite.purgers.length, 2);
  for (const stack of suite.purgers) {
    const rule = one(stack, 'AWS::Events::Rule', () => true);
    assert.deepEqual(rule.EventPattern, { source: [{ prefix: 'cache.' }], 'detail-type': ['CacheTagsChanged'] });
    const fn = one(stack, 'AWS::Lambda::Function', () => true);
    assert.equal(fn.Environment.Variables.DISTRIBUTION_IDS, 'E1A2B3C4D5E6F7');
    const statements: Json[] = resources(stack, 'AWS::IAM::Policy').flatMap((it) => it.PolicyDocument.Statement);
    const purges = statements.filter((it) => String(it.Action).startsWith('cloudfront:'));
    assert.equal(purges.length, 1);
    assert.match(JSON.stringify(purges[0].Resource), /distribution\/E1A2B3C4D5E6F7/);
    for (const name of ['cache-purger-dead-letters-depth', 'cache-purger-errors']) one(stack, 'AWS::CloudWatch::Alarm', (it) => it.AlarmName === `shop-${name}`);
  }
});

test('a name outside of its zone is refused', () => {
  assert.throws(() => new Domain('shop.example.org', 'Z1', 'example.com'), /not in the zone/);
});
