import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CfnResource, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { IConstruct } from 'constructs';
import { deployment, stacks } from './support.ts';

const suite = stacks({ apps: [{ path: '/admin', origin: 'admin.example.com' }] });

/** The rules that a construct or what it is in is excepted from, with the reasons. */
function exceptions(node: IConstruct): Map<string, string> {
  const found = new Map<string, string>();
  for (const scope of node.node.scopes) {
    for (const { type, data } of scope.node.metadata) {
      if (type !== Validations.ACKNOWLEDGED_RULES_METADATA_KEY) continue;
      for (const [rule, reason] of Object.entries(data as Record<string, string>)) {
        found.set(`${scope.node.path}: ${rule.replace(/^annotation::/i, '')}`, reason);
      }
    }
  }
  return found;
}

function everyNode(of: IConstruct): IConstruct[] {
  return of.node.findAll();
}

test('the rules of AwsSolutions hold, but for the exceptions', () => {
  const { violations } = new AwsSolutionsChecks(suite.app).validateScope(suite.app);
  const found = violations.flatMap(({ ruleName, violatingResources }) =>
    violatingResources.map(({ constructPath }) => `${ruleName} ${constructPath}`),
  );
  assert.deepEqual([...new Set(found)].sort(), []);
});

test('they hold for a deployment that keeps nothing, too', () => {
  const { app } = stacks({ deployment: deployment({ retain: false }) });
  assert.deepEqual(new AwsSolutionsChecks(app).validateScope(app).violations.map(({ ruleName }) => ruleName), []);
});

test('each exception has its reason, in a sentence', () => {
  let seen = 0;
  for (const node of everyNode(suite.app)) {
    for (const [of, reason] of exceptions(node)) {
      seen += 1;
      assert.match(reason, /^[A-Z].{20,}[.]$/, of);
    }
  }
  assert.ok(seen > 0);
});

test('no exception is wider than what it is for: none is on a stack, or on everything', () => {
  for (const node of [suite.app, ...suite.platforms, ...suite.services, ...suite.registries, ...suite.gateways, ...suite.purgers, suite.edge!]) {
    const own = node.node.metadata.filter(({ type }) => type === Validations.ACKNOWLEDGED_RULES_METADATA_KEY);
    assert.deepEqual(own, [], node.node.path);
  }
  assert.ok(everyNode(suite.app).some((it) => CfnResource.isCfnResource(it)));
});
