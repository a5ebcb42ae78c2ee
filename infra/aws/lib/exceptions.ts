// Rules of cdk-nag that don't hold somewhere, each with its reason.

import { Stack, Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** Says why a rule doesn't hold for a construct and what is under it. */
export function except(scope: IConstruct, rule: string, reason: string): void {
  Validations.of(scope).acknowledge({ id: rule, reason });
}

/** Says why a policy of this scope may name resources by a wildcard. */
export function exceptWildcard(scope: IConstruct, resource: string, reason: string): void {
  except(scope, `AwsSolutions-IAM5[Resource::${written(Stack.of(scope).resolve(resource))}]`, reason);
}

/** A value of a template as cdk-nag writes it: a reference as `<LogicalId>`, an attribute as `<LogicalId.Attribute>`. */
function written(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { Ref: ref, 'Fn::GetAtt': attribute, 'Fn::Join': join } = value as { Ref?: string; 'Fn::GetAtt'?: string[]; 'Fn::Join'?: [string, unknown[]] };
  if (ref !== undefined) return `<${ref}>`;
  if (attribute) return `<${attribute.join('.')}>`;
  if (join) return join[1].map(written).join(join[0]);
  throw new Error(`a resource of a policy is neither a text nor a reference: ${JSON.stringify(value)}`);
}
