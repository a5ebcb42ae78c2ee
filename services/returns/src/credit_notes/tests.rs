use super::projection;

#[test]
fn any_delivery_gives_the_canonical_credit_notes() {
    testkit::law::of(projection());
}
