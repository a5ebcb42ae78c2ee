use super::{all, key, projection};
use contracts::Extra;
use contracts::inventory::{Reason, StockAdjusted};
use serde_json::json;
use testkit::given;

#[test]
fn any_delivery_gives_the_canonical_adjustments() {
    testkit::law::of(projection());
}

#[test]
fn adjustments_are_summed_and_counted_by_their_way() {
    let adjusted = |sku: &str, quantity| StockAdjusted {
        sku: sku.into(),
        quantity,
        reason: Reason::Unknown("stocktake".into()),
        extra: Extra::default(),
    };
    let log = [adjusted("A", 10), adjusted("B", -1), adjusted("A", -3), adjusted("A", -3)];
    let log = log.iter().fold(testkit::log(), testkit::Log::event);
    given(&projection()).when(log.envelopes()).then_items(&[
        (key("A"), json!({ "on_hand": 4, "up": 1, "down": 2 })),
        (key("B"), json!({ "on_hand": -1, "down": 1 })),
    ]);
}

#[test]
fn every_product_stands_in_one_of_the_lists() {
    let partitions: Vec<String> = all().map(|list| list.partition).collect();
    assert!((0..1_000).all(|number| partitions.contains(&key(&number.to_string()).pk)));
    let mut used: Vec<String> = (0..1_000).map(|number| key(&number.to_string()).pk).collect();
    used.sort();
    used.dedup();
    assert_eq!(used, partitions, "each partition has its part");
}
