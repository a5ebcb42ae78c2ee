// Rules of cdk-nag that don't hold somewhere, each with its reason.

import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** Says why a rule doesn't hold for a construct and what is under it. */
export function except(scope: IConstruct, rule: string, reason: string): void {
  Validations.of(scope).acknowledge({ id: rule, reason });
}
