use super::commands;
use crate::import::Outgoing;
use contracts::catalogue::{ListProduct, RetitleProduct};
use contracts::customers::RegisterCustomer;
use contracts::inventory::AdjustStock;
use contracts::orders::{CancelOrder, Line, LineKind, PlaceOrder};
use contracts::pricing::{self, RepriceProduct};
use contracts::returns::IssueCreditNote;
use contracts::{Command, CommandEnvelope};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

fn now() -> Timestamp {
    "2026-03-14T15:09:26.5Z".parse().unwrap()
}

fn of<C: Command>(commands: &[Outgoing]) -> Vec<CommandEnvelope<C>> {
    let named = commands.iter().filter(|it| it.domain == C::DOMAIN && it.name == C::NAME);
    named.map(|it| serde_json::from_str(&it.json).unwrap()).collect()
}

#[test]
fn it_is_a_whole_small_shop() {
    let commands = commands(now());
    assert_eq!(of::<ListProduct>(&commands).len(), 40);
    assert_eq!(of::<RegisterCustomer>(&commands).len(), 25);
    assert_eq!(of::<PlaceOrder>(&commands).len(), 200);
    assert_eq!(of::<CancelOrder>(&commands).len(), 3);
    assert_eq!(of::<IssueCreditNote>(&commands).len(), 6);
    assert_eq!(of::<RetitleProduct>(&commands).len(), 3);
    let mut currencies = BTreeMap::new();
    for order in of::<PlaceOrder>(&commands) {
        *currencies.entry(order.data.currency).or_insert(0) += 1;
    }
    assert!(currencies.len() == 3 && currencies.values().all(|count| *count >= 10), "{currencies:?}");
    let guests = of::<PlaceOrder>(&commands).iter().filter(|it| it.data.customer_id.is_none()).count();
    assert!((15..60).contains(&guests), "{guests}");
}

#[test]
fn a_week_passes_in_order_and_ends_now() {
    let commands = commands(now());
    assert!(commands.is_sorted_by_key(|it| it.time));
    assert!(commands[0].time > now() - SignedDuration::from_hours(7 * 24 + 1));
    assert!(commands.last().unwrap().time < now());
}

#[test]
fn it_is_the_same_shop_each_time_whenever_its_week_ends() {
    let ids = |commands: &[Outgoing]| commands.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
    assert_eq!(commands(now()), commands(now()));
    let later = commands(now() + SignedDuration::from_hours(1_000));
    assert_eq!(ids(&commands(now())), ids(&later));
    assert_eq!(ids(&later).into_iter().collect::<HashSet<_>>().len(), later.len());
}

#[test]
fn commands_of_an_aggregate_follow_one_another() {
    let mut last = HashMap::new();
    for command in commands(now()) {
        if let Some(before) = last.insert((command.domain, command.subject.clone()), command.time) {
            assert!(before < command.time, "{} {}", command.name, command.subject);
        }
    }
}

#[test]
fn orders_sell_what_is_listed_at_the_title_and_price_of_the_moment() {
    let commands = commands(now());
    let (mut prices, mut titles, mut customers) = (HashMap::new(), HashMap::new(), HashSet::new());
    let (mut changed, markets) = (0, HashMap::from([("GBP", "GB"), ("EUR", "IE"), ("USD", "US")]));
    for command in &commands {
        let one = std::slice::from_ref(command);
        for it in of::<RepriceProduct>(one) {
            changed += u32::from(prices.insert(it.subject, it.data.price).is_some());
        }
        for it in of::<ListProduct>(one) {
            titles.insert(it.data.sku, it.data.title);
        }
        for it in of::<RetitleProduct>(one) {
            assert_ne!(titles.insert(it.data.sku, it.data.title.clone()), Some(it.data.title));
        }
        customers.extend(of::<RegisterCustomer>(one).into_iter().map(|it| it.data.id));
        for order in of::<PlaceOrder>(one) {
            assert!(order.data.customer_id.is_none_or(|id| customers.contains(&id)));
            let positions: Vec<_> = order.data.lines.iter().map(|line| line.position).collect();
            assert_eq!(positions, (1..).take(positions.len()).collect::<Vec<_>>());
            for line in order.data.lines.iter().filter(|line| line.kind == LineKind::Product) {
                let price = &prices[&pricing::subject(&line.sku, markets[order.data.currency.as_str()])];
                assert_eq!((line.unit_price, &order.data.currency), (price.amount, &price.currency));
                assert_eq!(line.title, titles[&line.sku]);
            }
        }
    }
    assert_eq!(changed, 7);
}

#[test]
fn credit_notes_take_back_what_was_sold_and_only_placed_orders_are_cancelled() {
    let commands = commands(now());
    let orders: HashMap<_, _> =
        of::<PlaceOrder>(&commands).into_iter().map(|it| (it.subject.clone(), it)).collect();
    for cancel in of::<CancelOrder>(&commands) {
        assert!(orders[&cancel.data.order_id].time < cancel.time);
        assert!(!of::<IssueCreditNote>(&commands).iter().any(|it| it.subject[1..] == cancel.data.order_id));
    }
    for note in of::<IssueCreditNote>(&commands) {
        let order = &orders[&note.subject[1..]];
        assert!(order.time < note.time && order.data.customer_id == note.data.customer_id);
        let sold =
            |line: &Line| line.quantity >= note.data.lines[0].quantity && line.sku == note.data.lines[0].sku;
        assert!(order.data.lines.iter().any(sold));
    }
}

#[test]
fn the_stock_lasts() {
    let mut stock: BTreeMap<String, i64> = BTreeMap::new();
    for command in commands(now()) {
        let one = std::slice::from_ref(&command);
        for it in of::<AdjustStock>(one) {
            assert_ne!(it.data.quantity, 0);
            *stock.entry(it.data.sku).or_default() += it.data.quantity;
        }
        for line in of::<PlaceOrder>(one).into_iter().flat_map(|it| it.data.lines) {
            if line.kind == LineKind::Product {
                *stock.get_mut(&line.sku).unwrap() -= i64::from(line.quantity);
            }
        }
        assert!(stock.values().all(|pieces| *pieces > 0));
    }
}

#[test]
fn nobody_can_be_written_to() {
    let commands = commands(now());
    let addresses: HashSet<_> =
        of::<RegisterCustomer>(&commands).into_iter().filter_map(|it| it.data.email).collect();
    assert_eq!(addresses.len(), 25);
    assert!(addresses.iter().all(|it| it.ends_with("@example.com")));
}
