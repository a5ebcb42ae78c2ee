//! Tests of the whole suite; there is nothing here but tests.
