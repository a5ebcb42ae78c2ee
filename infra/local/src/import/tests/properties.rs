use super::{Emit, HEADER, Read, all, file};
use crate::import::Importer;
use contracts::orders::Line;
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// A row: invoice, product, quantity, thousandths of a pound, title, whether the clock moves a minute before it.
type Made = (u8, u8, i16, u16, u8, bool);

fn made() -> impl Strategy<Value = Vec<Made>> {
    let price = prop_oneof![3 => 1_u16..2_000, 1 => Just(0)];
    prop::collection::vec((0_u8..6, 0_u8..5, -3_i16..20, price, 0_u8..4, prop::bool::weighted(0.05)), 0..60)
}

fn text(rows: &[Made]) -> String {
    let mut text = HEADER.to_owned();
    let mut minute = 0;
    for (invoice, product, quantity, price, title, moves) in rows {
        minute += u32::from(*moves);
        let title = ["", "RED", "BLUE \"\"X\"\"", "A, B"][usize::from(*title)];
        let kind = if *quantity < 0 && *price > 0 { "C" } else { "" };
        let price = Decimal::new(i64::from(*price), 3);
        let (hour, minute) = (8 + minute / 60, minute % 60);
        let date = format!("2010-12-01T{hour:02}:{minute:02}:00");
        writeln!(text, "{kind}{invoice},p{product},\"{title}\",{quantity},{date},{price},,France").unwrap();
    }
    text
}

fn lines(read: &Read) -> Vec<Line> {
    let orders = read.orders().into_iter().map(|it| it.data.lines);
    orders.chain(read.credit_notes().into_iter().map(|it| it.data.lines)).flatten().collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled(rows in made()) {
        let read = all(text(&rows).as_bytes());
        let summary = &read.summary;
        let accounted = summary.sold_lines + summary.returned_lines + summary.written_off_rows
            + summary.found_rows + summary.ledger_rows + summary.rejected_rows();
        prop_assert_eq!(accounted, rows.len() as u64);
        prop_assert_eq!(lines(&read).len() as u64, summary.sold_lines + summary.returned_lines);
        let amount: Decimal = lines(&read).iter().map(Line::amount).sum();
        prop_assert_eq!(amount, summary.sold_amount + summary.returned_amount);
        if !summary.rejected.contains_key("LATE_ROW") {
            let of_rows: Decimal = rows.iter().filter(|it| it.2 != 0).map(|(_, _, quantity, price, ..)| {
                Decimal::from(quantity.abs()) * Decimal::new(i64::from(*price), 3)
            }).sum();
            prop_assert_eq!(amount, of_rows);
        }
    }

    #[test]
    fn an_aggregates_commands_are_in_order_and_ids_are_its_own(rows in made()) {
        let read = all(text(&rows).as_bytes());
        let mut last = HashMap::new();
        let mut ids = std::collections::HashSet::new();
        let mut row = 0;
        for item in &read.items {
            prop_assert!(item.row >= row);
            row = item.row;
            let Emit::Command(it) = &item.what else { continue };
            prop_assert!(ids.insert(it.id.clone()), "{} twice", it.name);
            if let Some(before) = last.insert((it.domain, it.subject.clone()), it.time) {
                prop_assert!(before < it.time || it.name == "AdjustStock", "{} {}", it.name, it.subject);
            }
        }
    }

    #[test]
    fn rows_of_other_invoices_between_make_no_difference_to_an_invoice(rows in made()) {
        let rows: Vec<_> = rows.into_iter().map(|mut row| { row.5 = false; row }).collect();
        let mut grouped = rows.clone();
        grouped.sort_by_key(|(invoice, _, quantity, price, ..)| (*invoice, *quantity < 0 && *price > 0));
        let invoices = |read: &Read| -> BTreeMap<String, Vec<(u32, String, u32, Decimal)>> {
            let line = |line: Line| (line.position, line.sku, line.quantity, line.unit_price);
            read.orders().into_iter().map(|it| (it.subject, it.data.lines))
                .chain(read.credit_notes().into_iter().map(|it| (it.subject, it.data.lines)))
                .map(|(id, lines)| (id, lines.into_iter().map(line).collect())).collect()
        };
        prop_assert_eq!(
            invoices(&all(text(&rows).as_bytes())),
            invoices(&all(text(&grouped).as_bytes()))
        );
    }

    #[test]
    fn going_on_from_anywhere_gives_the_rest(rows in made(), at in 0.0..1.0) {
        let file = file(text(&rows).as_bytes());
        let whole: Vec<_> = Importer::open(file.path()).unwrap().map(Result::unwrap).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a place in a short list")]
        let skipped = (at * whole.len() as f64) as usize;
        let rest: Vec<_> =
            Importer::open(file.path()).unwrap().after(skipped as u64).map(Result::unwrap).collect();
        prop_assert_eq!(&rest[..], &whole[skipped..]);
    }

    #[test]
    fn no_bytes_stop_the_import_or_go_uncounted(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let mut text = HEADER.as_bytes().to_vec();
        text.extend(&bytes);
        let read = all(&text);
        let given = read.items.iter().filter(|it| matches!(it.what, Emit::Rejected(_))).count();
        prop_assert_eq!(given as u64, read.summary.rejected_rows());
        prop_assert_eq!(read.summary.rows, read.summary.rejected_rows());
    }
}
