//! Reporting as its neighbours see it. What it answers is tested on a PostgreSQL: `tests/postgres/run`.

use micrograph::manifest::{Manifest, Relation};

#[tokio::test]
async fn the_schema_is_committed() -> anyhow::Result<()> {
    testkit::fixture::schema_is_committed(reporting::micrograph(), env!("CARGO_MANIFEST_DIR")).await
}

#[test]
fn its_table_is_relational_and_no_function_needs_one_of_that_name_in_dynamodb() {
    let manifest = Manifest::of(&reporting::micrograph());
    let relational: Vec<&str> = manifest.relational.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(relational, ["reporting-sales-1"]);
    let tables = manifest.tables.iter().map(|table| &table.name);
    let used = manifest.functions.iter().flat_map(|it| it.reads.iter().chain(&it.writes).chain(&it.scans));
    let all: Vec<&String> = tables.chain(used).collect();
    assert!(all.iter().any(|name| *name == "reporting-generations"), "{all:?}");
    assert!(all.iter().all(|name| *name != "reporting-sales-1"), "{all:?}");
    let related = manifest.functions.iter().filter_map(|it| Some((it.handler.as_str(), it.relational?)));
    let related: Vec<_> = related.collect();
    let expected =
        [("consumer.sales-1", Relation::Owns), ("generations", Relation::Owns), ("subgraph", Relation::Asks)];
    assert_eq!(related, expected);
}
