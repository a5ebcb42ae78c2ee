use super::projection;

#[test]
fn any_delivery_gives_the_canonical_lists() {
    testkit::law::of(projection());
}
