use super::projection;

#[test]
fn any_delivery_gives_the_canonical_customers() {
    testkit::law::of(projection());
}
