//! What a micrograph's tests stand on: the law harness, given / when / then, fixtures.
