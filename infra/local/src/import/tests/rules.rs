use super::{Read, rows};
use contracts::catalogue::{Category, ListProduct, RetitleProduct};
use contracts::customers::RegisterCustomer;
use contracts::inventory::{AdjustStock, Reason};
use contracts::orders::LineKind;
use contracts::pricing::RepriceProduct;
use rust_decimal::Decimal;

fn prices(read: &Read) -> Vec<(String, Decimal, String)> {
    let prices = read.of::<RepriceProduct>().into_iter();
    prices.map(|it| (it.subject, it.data.price.amount, it.time.to_string())).collect()
}

#[test]
fn a_sale_lists_registers_prices_and_then_orders() {
    let read = rows("536365,85123a ,WHITE HOLDER ,6,2010-12-01T08:26:00,2.55,17850,United Kingdom\n");
    assert_eq!(
        read.sent(),
        ["RegisterCustomer 17850", "ListProduct 85123A", "RepriceProduct 85123A/GB", "PlaceOrder 536365"]
    );
    let [order] = &read.orders()[..] else { panic!("one order") };
    assert_eq!(order.time.to_string(), "2010-12-01T08:26:00Z");
    assert_eq!(order.data.customer_id.as_deref(), Some("17850"));
    assert_eq!((order.data.country.as_str(), order.data.currency.as_str()), ("United Kingdom", "GBP"));
    let [line] = &order.data.lines[..] else { panic!("one line") };
    assert_eq!((line.position, &line.kind, line.quantity), (1, &LineKind::Product, 6));
    assert_eq!((line.sku.as_str(), line.title.as_str()), ("85123A", "WHITE HOLDER"));
    assert_eq!(line.unit_price.to_string(), "2.55");
    let [customer] = &read.of::<RegisterCustomer>()[..] else { panic!("one customer") };
    assert_eq!((&customer.data.name, &customer.data.email), (&None, &None));
    assert_eq!(read.items.iter().map(|it| it.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn prices_are_as_written_up_to_three_decimals() {
    let read = rows(
        "1,A1,X,1,2010-12-01T08:26:00,0.001,,France\n\
         1,A2,X,2,2010-12-01T08:26:00,2.5,,France\n\
         1,A3,X,1,2010-12-01T08:26:00,3,,France\n",
    );
    let written: Vec<_> =
        read.orders()[0].data.lines.iter().map(|line| line.unit_price.to_string()).collect();
    assert_eq!(written, ["0.001", "2.5", "3"]);
    assert_eq!(read.summary.sold_amount.to_string(), "8.001");
}

#[test]
fn a_credit_note_takes_back_a_positive_quantity_and_prices_nothing() {
    let read = rows("c536379,D,Discount,-1,2010-12-01T09:41:00,27.50,14527.0,United Kingdom\n");
    assert_eq!(read.sent(), ["RegisterCustomer 14527", "IssueCreditNote C536379"]);
    let [note] = &read.credit_notes()[..] else { panic!("one credit note") };
    let [line] = &note.data.lines[..] else { panic!("one line") };
    assert_eq!((line.quantity, &line.kind, line.title.as_str()), (1, &LineKind::Fee, "Discount"));
    assert_eq!(read.summary.returned_amount, Decimal::new(2750, 2));
    assert_eq!((read.summary.credit_notes, read.summary.orders), (1, 0));
}

#[test]
fn rows_without_a_price_adjust_stock_and_are_not_sold() {
    let read = rows(
        "536589,21777,,-10,2010-12-01T16:50:00,0.0,,United Kingdom\n\
         536996,22712,found,20,2010-12-02T15:30:00,0,,United Kingdom\n\
         536996,22712,found,20,2010-12-02T15:30:00,0,,United Kingdom\n",
    );
    let adjusted: Vec<_> = read.of::<AdjustStock>().into_iter().map(|it| it.data).collect();
    let expected =
        [("21777", -10, Reason::WrittenOff), ("22712", 20, Reason::Found), ("22712", 20, Reason::Found)];
    assert_eq!(adjusted.len(), expected.len());
    for (adjusted, (sku, quantity, reason)) in adjusted.iter().zip(expected) {
        assert_eq!((adjusted.sku.as_str(), adjusted.quantity, &adjusted.reason), (sku, quantity, &reason));
    }
    let [_, one, other] = &read.of::<AdjustStock>()[..] else { panic!("three adjustments") };
    assert_ne!(one.id, other.id, "two equal rows are two adjustments");
    assert!(read.orders().is_empty() && read.of::<RepriceProduct>().is_empty());
    assert_eq!((read.summary.written_off_rows, read.summary.found_rows), (1, 2));
}

#[test]
fn an_invoice_may_mix_sales_and_adjustments_and_positions_count_both() {
    let read = rows(
        "7,A,one,1,2010-12-01T08:26:00,1,,France\n\
         7,A,one,5,2010-12-01T08:26:00,0,,France\n\
         7,A,one,1,2010-12-01T08:26:00,1,,France\n",
    );
    let positions: Vec<_> = read.orders()[0].data.lines.iter().map(|line| line.position).collect();
    assert_eq!(positions, [1, 3]);
    assert_eq!(read.of::<AdjustStock>().len(), 1);
}

#[test]
fn ledger_rows_are_sent_for_orders_to_refuse_and_leave_no_other_trace() {
    let read = rows(
        "A563185,B,Adjust bad debt,1,2011-08-12T14:50:00,11062.06,,United Kingdom\n\
         A563186,B,Adjust bad debt,1,2011-08-12T14:51:00,-11062.06,,United Kingdom\n\
         TEST,99999,thing,1,2011-08-12T14:52:00,1.00,12345,United Kingdom\n",
    );
    assert_eq!(read.sent(), ["PlaceOrder A563185", "PlaceOrder A563186", "PlaceOrder TEST"]);
    for order in read.orders() {
        assert_eq!(order.data.lines[0].kind, LineKind::Unknown("ledger".into()));
    }
    assert_eq!(read.orders()[1].data.lines[0].unit_price, Decimal::new(-1_106_206, 2));
    assert_eq!((read.summary.ledger_rows, read.summary.orders, read.summary.sold_lines), (3, 0, 0));
}

#[test]
fn every_fee_is_a_line_and_no_product() {
    for fee in super::super::FEES {
        let read = rows(&format!("1,{},Charge,1,2010-12-01T08:26:00,18.00,,France\n", fee.to_lowercase()));
        assert_eq!(read.sent(), ["PlaceOrder 1"], "{fee}");
        let line = &read.orders()[0].data.lines[0];
        assert_eq!((&line.kind, line.sku.as_str()), (&LineKind::Fee, fee));
    }
}

#[test]
fn a_title_is_the_latest_that_is_not_blank_and_the_sku_before_there_is_one() {
    let read = rows(
        "1,a,,1,2010-12-01T08:26:00,1,,France\n\
         1,A,RED BAG,1,2010-12-01T08:26:00,1,,France\n\
         1,A,  ,1,2010-12-01T08:26:00,1,,France\n\
         1,A,BLUE BAG,1,2010-12-01T08:26:00,1,,France\n\
         2,A,BLUE BAG,1,2010-12-01T08:30:00,1,,France\n\
         C3,A,GREEN BAG,-1,2010-12-01T08:31:00,1,,France\n",
    );
    assert_eq!(read.of::<ListProduct>()[0].data.title, "A");
    let titles: Vec<_> =
        read.of::<RetitleProduct>().into_iter().map(|it| (it.data.title, it.time.to_string())).collect();
    let expected = [
        ("RED BAG", "2010-12-01T08:26:00.000001Z"),
        ("BLUE BAG", "2010-12-01T08:26:00.000002Z"),
        ("GREEN BAG", "2010-12-01T08:31:00Z"),
    ];
    assert_eq!(titles, expected.map(|(title, time)| (title.to_owned(), time.to_owned())));
    let sold: Vec<_> = read.orders()[0].data.lines.iter().map(|line| line.title.clone()).collect();
    assert_eq!(sold, ["A", "RED BAG", "RED BAG", "BLUE BAG"]);
}

#[test]
fn a_price_is_told_when_it_differs_and_those_of_one_minute_keep_their_order() {
    let read = rows(
        "1,A,X,1,2010-12-01T08:26:00,2.55,,France\n\
         1,A,X,9,2010-12-01T08:26:00,2.10,,France\n\
         1,A,X,9,2010-12-01T08:26:00,2.1,,France\n\
         1,A,X,1,2010-12-01T08:26:00,2.55,,France\n\
         1,A2,X,1,2010-12-01T08:26:00,7,,France\n\
         C2,A,X,-1,2010-12-01T08:27:00,9.99,,France\n\
         3,A,X,1,2010-12-01T08:28:00,2.10,,France\n",
    );
    let price = |sku: &str, cents, time: &str| (format!("{sku}/GB"), Decimal::new(cents, 2), time.to_owned());
    let expected = [
        price("A", 255, "2010-12-01T08:26:00Z"),
        price("A", 210, "2010-12-01T08:26:00.000001Z"),
        price("A", 255, "2010-12-01T08:26:00.000002Z"),
        price("A2", 700, "2010-12-01T08:26:00Z"),
        price("A", 210, "2010-12-01T08:28:00Z"),
    ];
    assert_eq!(prices(&read), expected);
}

#[test]
fn a_row_that_is_earlier_than_those_before_keeps_its_time_and_is_counted() {
    let read = rows(
        "2,A,X,1,2010-12-01T09:00:00,2,,France\n\
         1,A,Y,1,2010-12-01T08:00:00,1,,France\n",
    );
    let times: Vec<_> = prices(&read).into_iter().map(|(_, _, time)| time).collect();
    assert_eq!(times, ["2010-12-01T09:00:00Z", "2010-12-01T08:00:00Z"]);
    assert_eq!(read.of::<RetitleProduct>()[0].time.to_string(), "2010-12-01T08:00:00Z");
    assert_eq!(read.summary.rows_out_of_order, 1);
}

#[test]
fn the_category_goes_by_the_words_of_the_first_title() {
    let read = rows(
        "1,A,\"BIRTHDAY CARD, RETRO SPOT\",1,2010-12-01T08:26:00,1,,France\n\
         1,A2,CARDBOARD BOX,1,2010-12-01T08:26:00,1,,France\n\
         1,A3,Flowers of Spring,1,2010-12-01T08:26:00,1,,France\n\
         1,A4,,1,2010-12-01T08:26:00,1,,France\n",
    );
    let categories: Vec<_> = read.of::<ListProduct>().into_iter().map(|it| it.data.category).collect();
    assert_eq!(categories, [Category::Card, Category::Gift, Category::Flowers, Category::Gift]);
}

#[test]
fn a_customer_is_registered_once_with_the_first_country() {
    let read = rows(
        "1,A,X,1,2010-12-01T08:26:00,1,12370,Cyprus\n\
         2,A,X,1,2010-12-01T08:27:00,1,12370,Austria\n\
         3,A,X,1,2010-12-01T08:28:00,1,,\n",
    );
    let customers: Vec<_> = read.of::<RegisterCustomer>().into_iter().map(|it| it.data.country).collect();
    assert_eq!(customers, ["Cyprus"]);
    let countries: Vec<_> = read.orders().into_iter().map(|it| it.data.country).collect();
    assert_eq!(countries, ["Cyprus", "Austria", "Unspecified"]);
    assert_eq!(read.orders()[2].data.customer_id, None);
}

#[test]
fn rows_that_no_rule_fits_are_rejected_with_their_reason_and_their_text() {
    let cases = [
        ("1,A,X,-1,2010-12-01T08:26:00,1,,F", "NOTHING_SOLD"),
        ("1,A,X,0,2010-12-01T08:26:00,1,,F", "NOTHING_MOVED"),
        ("1,A,X,0,2010-12-01T08:26:00,0,,F", "NOTHING_MOVED"),
        ("1,A,X,1,2010-12-01T08:26:00,-1,,F", "NEGATIVE_PRICE"),
        ("C1,A,X,1,2010-12-01T08:26:00,1,,F", "NOTHING_RETURNED"),
        ("C1,A,X,-1,2010-12-01T08:26:00,0,,F", "NOTHING_REFUNDED"),
        ("A1,A,X,-1,2010-12-01T08:26:00,1,,F", "LEDGER_QUANTITY"),
        ("1,A,X,1,2010-13-01T08:26:00,1,,F", "BAD_DATE"),
        ("1,A,X,1,,1,,F", "BAD_DATE"),
        ("1,A,X,six,2010-12-01T08:26:00,1,,F", "BAD_QUANTITY"),
        ("1,A,X,1.5,2010-12-01T08:26:00,1,,F", "BAD_QUANTITY"),
        ("1,A,X,4294967296,2010-12-01T08:26:00,1,,F", "BAD_QUANTITY"),
        ("1,A,X,-9223372036854775808,2010-12-01T08:26:00,0,,F", "BAD_QUANTITY"),
        ("C1,A,X,-9223372036854775808,2010-12-01T08:26:00,1,,F", "BAD_QUANTITY"),
        ("1,A,X,1,2010-12-01T08:26:00,,,F", "BAD_PRICE"),
        ("1,A,X,1,2010-12-01T08:26:00,1e3,,F", "BAD_PRICE"),
        ("1,A,X,1,2010-12-01T08:26:00,1_000,,F", "BAD_PRICE"),
        ("1,A,X,1,2010-12-01T08:26:00,2.5499,,F", "BAD_PRICE"),
        ("1,A,X,1,2010-12-01T08:26:00,99999999999999999999999999999999,,F", "BAD_PRICE"),
        (",A,X,1,2010-12-01T08:26:00,1,,F", "BLANK_VALUE"),
        ("1, ,X,1,2010-12-01T08:26:00,1,,F", "BLANK_VALUE"),
        ("1,A,X,1,2010-12-01T08:26:00,1,F", "COLUMN_COUNT"),
        ("1,A,X,1,2010-12-01T08:26:00,1,,F,", "COLUMN_COUNT"),
        ("not a row", "COLUMN_COUNT"),
    ];
    for (row, code) in cases {
        let good = "2,A,X,1,2010-12-01T08:27:00,1,,F\n";
        let read = rows(&format!("{row}\n{good}"));
        assert_eq!(read.rejected(), [(1, code)], "{row}");
        assert_eq!(read.orders().len(), 1, "its neighbour is imported: {row}");
        assert_eq!(read.summary.rejected.get(code), Some(&1), "{row}");
        let super::Emit::Rejected(rejected) = &read.items[0].what else { panic!("rejected first: {row}") };
        assert_eq!((rejected.raw.as_str(), rejected.line), (row, 2));
        assert!(!rejected.reason.to_string().is_empty());
    }
}

#[test]
fn values_longer_than_any_real_one_are_rejected() {
    let long = "X".repeat(201);
    let read =
        rows(&format!("1,{long},X,1,2010-12-01T08:26:00,1,,F\n1,A,{long},1,2010-12-01T08:26:00,1,,F\n"));
    assert_eq!(read.rejected(), [(1, "VALUE_TOO_LONG"), (2, "VALUE_TOO_LONG")]);
}
