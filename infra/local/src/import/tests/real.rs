use crate::import::{Emit, Importer};
use contracts::orders::{Line, LineKind, PlaceOrder};
use contracts::{Command, CommandEnvelope};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// Where to find `online-retail-2010-12-to-2011-08.csv.gz`, the rows of the data set up to the end of August 2011.
const VARIABLE: &str = "TRIBUTARY_ONLINE_RETAIL";

/// Totals of the file, computed apart from this code with exact decimals.
#[test]
fn the_first_nine_months_come_to_their_totals() {
    let Some(path) = std::env::var_os(VARIABLE) else {
        eprintln!("skipped: {VARIABLE} doesn't name the Online Retail file");
        return;
    };
    let mut importer = Importer::open(path.as_ref()).unwrap();
    let mut sold: BTreeMap<String, (u64, Decimal)> = BTreeMap::new();
    let (mut orders, mut lines, mut amount, mut refused) = (0, 0, Decimal::ZERO, Vec::new());
    for item in importer.by_ref() {
        let Emit::Command(command) = item.unwrap().what else { panic!("a row was rejected") };
        if command.name != PlaceOrder::NAME {
            continue;
        }
        let order: CommandEnvelope<PlaceOrder> = serde_json::from_str(&command.json).unwrap();
        if order.data.lines.iter().any(|line| matches!(line.kind, LineKind::Unknown(_))) {
            refused.push(order.subject);
            continue;
        }
        orders += 1;
        lines += order.data.lines.len();
        amount += order.data.lines.iter().map(Line::amount).sum::<Decimal>();
        for line in order.data.lines {
            let sold = sold.entry(line.sku.clone()).or_default();
            sold.0 += u64::from(line.quantity);
            sold.1 += line.amount();
        }
    }
    let summary = importer.summary();
    assert_eq!((summary.rows, summary.rejected_rows(), summary.rows_out_of_order), (320_705, 0, 0));
    assert_eq!((lines, orders), (313_058, 12_494));
    assert_eq!(amount, Decimal::new(6_293_764_002, 3));
    assert_eq!((summary.sold_lines, summary.orders, summary.sold_units), (313_058, 12_494, 3_325_399));
    assert_eq!(summary.sold_amount, amount);
    assert_eq!((summary.returned_lines, summary.credit_notes), (5_847, 2_554));
    assert_eq!((summary.returned_units, summary.returned_amount), (149_402, Decimal::new(52_077_056, 2)));
    assert_eq!((summary.written_off_rows, summary.found_rows, summary.ledger_rows), (925, 872, 3));
    assert_eq!(refused, ["A563185", "A563186", "A563187"]);
    assert_eq!(summary.customers, 3_360);
    for (sku, units, cents) in
        [("22423", 10_518, 13_177_752), ("47566", 15_486, 8_372_566), ("85123A", 27_964, 7_775_228)]
    {
        assert_eq!(sold[sku], (units, Decimal::new(cents, 2)), "{sku}");
    }
}
