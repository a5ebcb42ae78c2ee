use super::projection;

#[test]
fn any_delivery_of_both_domains_gives_the_canonical_offers() {
    testkit::law::of(projection());
}
