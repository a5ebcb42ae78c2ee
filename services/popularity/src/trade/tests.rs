use super::{Trade, amount};
use contracts::Extra;
use contracts::orders::{Line, LineKind, Order, OrderCancelled, OrderPlaced, Status};
use contracts::returns::{CreditNote, CreditNoteIssued};
use proptest::prelude::*;
use rust_decimal::Decimal;
use testkit::{Log, log};

/// A line: of a product, or of a fee where the code is `POST`.
pub fn line(sku: &str, quantity: u32, price: &str) -> Line {
    Line {
        position: 1,
        kind: if sku == "POST" { LineKind::Fee } else { LineKind::Product },
        sku: sku.into(),
        title: sku.into(),
        quantity,
        unit_price: price.parse().unwrap(),
        extra: Extra::default(),
    }
}

pub fn order(id: &str, country: &str, at: &str, lines: &[Line]) -> Order {
    Order {
        id: id.into(),
        customer_id: Some("17850".into()),
        country: country.into(),
        status: Status::Placed,
        placed_at: at.parse().unwrap(),
        currency: "GBP".into(),
        lines: lines.to_vec(),
        extra: Extra::default(),
    }
}

pub fn note(id: &str, country: &str, at: &str, lines: &[Line]) -> CreditNote {
    CreditNote {
        id: id.into(),
        customer_id: Some("17850".into()),
        country: country.into(),
        issued_at: at.parse().unwrap(),
        currency: "GBP".into(),
        lines: lines.to_vec(),
        extra: Extra::default(),
    }
}

/// Orders of several lines, two of them of one product, from several countries, months and currencies; one is
/// cancelled, and goods come back.
pub fn history() -> Log {
    let first = order(
        "1",
        "France",
        "2010-12-01T08:26:00Z",
        &[line("A", 2, "12.75"), line("B", 3, "0.001"), line("A", 1, "12.75"), line("POST", 1, "18.00")],
    );
    let second = order("2", "United Kingdom", "2011-01-31T23:59:59Z", &[line("A", 6, "2.55")]);
    let guest =
        Order { customer_id: None, ..order("3", "EIRE", "2011-01-04T10:00:00Z", &[line("B", 1, "4")]) };
    let euros = Order {
        currency: "EUR".into(),
        ..order("4", "France", "2011-01-04T10:00:00Z", &[line("A", 1, "3")])
    };
    let cancelled = Order { status: Status::Cancelled, ..second.clone() };
    log()
        .event(&OrderPlaced(first))
        .event(&OrderPlaced(second))
        .event(&CreditNoteIssued(note("C1", "France", "2011-01-02T09:00:00Z", &[line("A", 1, "12.75")])))
        .event(&OrderPlaced(guest))
        .event(&OrderCancelled(cancelled))
        .event(&OrderPlaced(euros))
        .event(&CreditNoteIssued(note("C2", "EIRE", "2011-02-02T09:00:00Z", &[line("C", 9, "1.25")])))
}

fn summed(lines: &[Line]) -> Result<Vec<(&'static str, Decimal)>, String> {
    let order = order("1", "France", "2011-01-04T10:00:00Z", lines);
    let trade = Trade::from(&order);
    let lines: Vec<&Line> = trade.lines.iter().collect();
    let contribution = trade.contribution("GBP#all".into(), &lines).map_err(|rejected| rejected.0)?;
    Ok(contribution.amounts[0].add.clone().into_iter().collect())
}

proptest! {
    #[test]
    fn amounts_are_exact(prices in prop::collection::vec((1_u32..5_000, 0_i64..10_000_000, 0_u32..=6), 1..40)) {
        let lines: Vec<Line> = prices
            .iter()
            .map(|(quantity, price, scale)| line("A", *quantity, &Decimal::new(*price, *scale).to_string()))
            .filter(|line| line.amount() <= Decimal::from(1_000_000_000))
            .collect();
        let exact: Decimal = lines.iter().map(Line::amount).sum();
        let sums = summed(&lines).unwrap();
        let revenue = sums.iter().find(|(name, _)| *name == "revenue").unwrap().1;
        let stored: i64 = revenue.to_string().parse().expect("a whole number in plain digits");
        prop_assert_eq!(amount(stored), exact);
    }
}

#[test]
fn what_cannot_be_kept_exactly_is_refused() {
    assert!(summed(&[line("A", 1, "0.0000010")]).is_ok());
    assert_eq!(summed(&[line("A", 1, "0.0000001")]), Err("line 1: a price has at most 6 decimals".into()));
    assert!(summed(&[line("A", 1, "-1000000000")]).is_ok());
    for price in ["1000000000.000001", "-1000000000.01", "79228162514264337593543950335"] {
        let refused = summed(&[line("A", 2, price)]).unwrap_err();
        assert_eq!(refused, "line 1 comes to more than 1000000000");
    }
}

#[test]
fn a_month_is_of_utc() {
    let order = order("1", "France", "2011-04-01T00:30:00+01:00", &[]);
    assert_eq!(Trade::from(&order).totals(), ["total", "country#France", "month#2011-03"]);
}
