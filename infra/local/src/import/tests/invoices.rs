use super::super::{CLOSES_AFTER_ROWS, MAX_LINES};
use super::rows;
use std::fmt::Write;

#[test]
fn an_invoice_has_the_time_and_country_of_its_first_row_and_may_be_interleaved() {
    let read = rows(
        "1,A,X,1,2010-12-01T08:26:00,1,,France\n\
         2,B,X,1,2010-12-01T08:26:00,1,17850,Spain\n\
         1,C,X,2,2010-12-01T08:27:00,1,17850,Italy\n",
    );
    let sent = read.sent();
    assert_eq!(sent[sent.len() - 2..], ["RepriceProduct C/GB", "PlaceOrder 1"]);
    assert!(
        sent.iter().position(|it| it == "PlaceOrder 2") < sent.iter().position(|it| it == "ListProduct C")
    );
    let order = &read.orders()[1];
    assert_eq!(
        (order.time.to_string().as_str(), order.data.country.as_str()),
        ("2010-12-01T08:26:00Z", "France")
    );
    assert_eq!(order.data.customer_id.as_deref(), Some("17850"));
    assert_eq!(order.data.lines.len(), 2);
}

#[test]
fn a_row_that_cannot_be_read_counts_in_its_invoice_where_its_number_can() {
    let read = rows(
        "1,A,X,oops,2010-12-01T08:26:00,1,,France\n\
         1,B,X,1,2010-12-01T08:26:00,1,,France\n",
    );
    assert_eq!(read.orders()[0].data.lines[0].position, 2);
    assert_eq!(read.rejected(), [(1, "BAD_QUANTITY")]);
}

#[test]
fn a_row_that_comes_after_its_invoice_was_complete_is_rejected() {
    let read = rows(
        "1,A,X,1,2010-12-01T08:26:00,1,,France\n\
         2,A,X,1,2010-12-01T08:31:00,1,,France\n\
         1,B,X,1,2010-12-01T08:31:00,1,,France\n\
         3,A,X,1,2010-12-01T08:36:00,1,,France\n\
         2,A,X,1,2010-12-01T08:36:00,1,,France\n\
         3,A,X,1,2010-12-01T08:50:00,1,,France\n\
         2,A,X,1,2010-12-01T08:50:00,1,,France\n\
         4,A,X,1,2010-12-01T09:00:00,1,,France\n\
         1,C,X,1,2010-12-01T09:00:00,0,,France\n",
    );
    assert_eq!(read.rejected(), [(7, "LATE_ROW"), (9, "LATE_ROW")]);
    let lines: Vec<_> = read.orders().iter().map(|it| (it.subject.clone(), it.data.lines.len())).collect();
    assert_eq!(lines, [("1", 2), ("2", 2), ("3", 2), ("4", 1)].map(|(id, count)| (id.to_owned(), count)));
    assert!(!read.sent().contains(&"ListProduct C".to_owned()), "a rejected row has no effect");
}

#[test]
fn where_time_stands_still_an_invoice_is_complete_after_many_rows() {
    let mut text = String::new();
    for invoice in 0..=CLOSES_AFTER_ROWS + 1 {
        writeln!(text, "{invoice},A,X,1,2010-12-01T08:26:00,1,,France").unwrap();
    }
    let late =
        format!("{text}0,A,X,1,2010-12-01T08:26:00,1,,France\n2,A,X,1,2010-12-01T08:26:00,1,,France\n");
    let read = rows(&late);
    assert_eq!(read.rejected(), [(CLOSES_AFTER_ROWS + 3, "LATE_ROW")]);
}

#[test]
fn a_row_with_a_far_date_does_not_keep_later_invoices_from_coming_together() {
    let mut text = "1,A,X,1,9999-12-01T08:26:00,1,,France\n".to_owned();
    for minute in 10..20 {
        for position in 0..3 {
            writeln!(text, "{minute},A,X,1,2010-12-01T08:{minute}:0{position},1,,France").unwrap();
        }
    }
    let read = rows(&text);
    assert_eq!(read.orders().len(), 11);
    assert!(read.orders()[1..].iter().all(|order| order.data.lines.len() == 3));
    assert_eq!(read.summary.rows_out_of_order, 30);
}

#[test]
fn an_invoice_holds_so_many_lines_and_the_rest_is_rejected() {
    let mut text = String::new();
    for sku in 0..MAX_LINES + 2 {
        writeln!(text, "1,S{sku},X,1,2010-12-01T08:26:00,1,,France").unwrap();
    }
    let read = rows(&text);
    assert_eq!(read.orders()[0].data.lines.len(), MAX_LINES);
    assert_eq!(read.rejected(), [(1_001, "INVOICE_FULL"), (1_002, "INVOICE_FULL")]);
}

#[test]
fn a_row_of_another_customer_is_rejected() {
    let read = rows(
        "1,A,X,1,2010-12-01T08:26:00,1,17850,France\n\
         1,A,X,1,2010-12-01T08:26:00,1,,France\n\
         1,A,X,1,2010-12-01T08:26:00,1,13047,France\n",
    );
    assert_eq!(read.rejected(), [(3, "OTHER_CUSTOMER")]);
    assert_eq!(read.orders()[0].data.lines.len(), 2);
}
