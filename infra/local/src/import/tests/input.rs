use super::super::{Importer, MAX_ROW_BYTES, OpenError};
use super::{HEADER, all, file, open, rows};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;

const ROW: &str = "1,A,X,1,2010-12-01T08:26:00,1.25,17850,France\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn packed_plain_and_windows_line_ends_read_the_same() {
    let plain = [HEADER, ROW].concat();
    let expected = all(plain.as_bytes());
    let mut two_members = gzip(HEADER.as_bytes());
    two_members.extend(gzip(ROW.as_bytes()));
    let marked = ["\u{feff}", &plain].concat();
    for bytes in [
        gzip(plain.as_bytes()),
        two_members,
        plain.replace('\n', "\r\n").into_bytes(),
        marked.into_bytes(),
        plain.trim_end().as_bytes().to_vec(),
        format!("\n\n{HEADER}\n \n{ROW}\r\n\n").into_bytes(),
    ] {
        let read = all(&bytes);
        assert_eq!(read.summary, expected.summary);
        assert_eq!(read.orders(), expected.orders());
    }
}

#[test]
fn columns_may_stand_in_any_order_and_go_by_the_other_editions_names() {
    let read = all(b"Country,Customer ID,price,Note,InvoiceDate,Quantity,Description,StockCode, Invoice \n\
        France,17850,1.25,hello,12/1/2010 8:26,1,X,A,1\n");
    assert_eq!(read.orders(), rows(ROW).orders());
}

#[test]
fn a_line_that_is_not_utf8_is_latin1_and_the_others_stay_utf8() {
    let mut bytes = [HEADER, "1,A,CAF\u{c9} \u{a3}5,1,2010-12-01T08:26:00,1,,France\n"].concat().into_bytes();
    bytes.extend(b"1,B,CAF\xc9 \xa35 \x80,1,2010-12-01T08:26:00,1,,France\n");
    let read = all(&bytes);
    let titles: Vec<_> = read.orders()[0].data.lines.iter().map(|line| line.title.clone()).collect();
    assert_eq!(titles, ["CAF\u{c9} \u{a3}5", "CAF\u{c9} \u{a3}5 \u{20ac}"]);
}

#[test]
fn quoted_fields_may_hold_commas_quotes_and_line_ends() {
    let read = rows(
        "1,A,\"LETTER \"\"D\"\", BLING\",1,2010-12-01T08:26:00,1,,France\n\
         1,B,\"two\r\nlines\",1,2010-12-01T08:26:00,1,,France\n\
         1,C,7\" FRAME,1,2010-12-01T08:26:00,1,,France\n",
    );
    let titles: Vec<_> = read.orders()[0].data.lines.iter().map(|line| line.title.clone()).collect();
    assert_eq!(titles, ["LETTER \"D\", BLING", "two\nlines", "7\" FRAME"]);
    assert_eq!(read.summary.rows, 3);
}

#[test]
fn a_quote_that_is_never_closed_costs_its_row_only() {
    let mut text = "1,A,\"open,1,2010-12-01T08:26:00,1,,France\n".to_owned();
    for sku in 0..20 {
        writeln!(text, "1,S{sku},\"fine, really\",1,2010-12-01T08:26:00,1,,France").unwrap();
    }
    text.push_str("1,Z,\"open at the end,1,2010-12-01T08:26:00,1,,France\n");
    let read = rows(&text);
    assert_eq!(read.rejected(), [(1, "OPEN_QUOTE"), (22, "OPEN_QUOTE")]);
    assert_eq!(read.orders()[0].data.lines.len(), 20);
    assert_eq!(read.summary.rows, 22);
}

#[test]
fn a_line_that_is_too_long_is_rejected_with_its_beginning() {
    let longest = format!("1,A,X,1,2010-12-01T08:26:00,1,,{}", " ".repeat(MAX_ROW_BYTES - 31));
    assert_eq!(longest.len(), MAX_ROW_BYTES);
    let read = rows(&format!("{longest}\r\n{longest} \n{}\n{ROW}", "x".repeat(300_000)));
    assert_eq!(read.rejected(), [(2, "ROW_TOO_LONG"), (3, "ROW_TOO_LONG")]);
    let raw = read.items.iter().find_map(|item| match &item.what {
        super::Emit::Rejected(it) => Some(it.raw.len()),
        super::Emit::Command(_) => None,
    });
    assert_eq!(raw, Some(MAX_ROW_BYTES));
    assert_eq!(read.summary.sold_lines, 2);
}

#[test]
fn what_is_no_such_file_is_refused_and_says_why() {
    let workbook = b"PK\x03\x04rest of a workbook".as_slice();
    let cases: [(&[u8], &str); 8] = [
        (b"", "it is empty"),
        (b"\n \n", "it is empty"),
        (
            b"InvoiceNo,StockCode,Quantity,InvoiceDate,CustomerID\n1,2,3,4,5\n",
            "doesn't name the columns Description, UnitPrice, Country",
        ),
        (b"InvoiceNo,Invoice,StockCode,Description\n", "InvoiceNo twice"),
        (b"{\"a\": 1}\n", "InvoiceNo, StockCode, Description, Quantity"),
        (b"\x00\x01\x02\x80\xff\n", "doesn't name the columns"),
        (workbook, "Excel workbook"),
        (b"\xff\xfeI\x00n\x00", "UTF-16"),
    ];
    for (bytes, expected) in cases {
        let error = open(bytes).err().expect("refused");
        let text = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        assert!(text.contains(expected), "{text}");
    }
    let missing = Importer::open("/nowhere/at all.csv".as_ref()).err().expect("refused");
    assert!(
        matches!(missing, OpenError::Unreadable { .. })
            && missing.to_string().contains("/nowhere/at all.csv")
    );
}

#[test]
fn a_packed_file_that_is_cut_off_ends_with_an_error_and_without_its_open_invoices() {
    let mut text = HEADER.to_owned();
    for invoice in 0..4_000 {
        let (sku, minute) = (invoice % 97, invoice / 100);
        writeln!(text, "{invoice},A{sku},X,1,2010-12-01T08:{minute:02}:00,1,,France").unwrap();
    }
    let packed = gzip(text.as_bytes());
    let read: Vec<_> = open(&packed[..packed.len() / 2]).unwrap().collect();
    let (last, before) = read.split_last().unwrap();
    let error = last.as_ref().unwrap_err();
    assert!(error.rows > 0 && before.iter().all(Result::is_ok));
    let whole: Vec<_> = open(&packed).unwrap().map(Result::unwrap).collect();
    for (cut, whole) in before.iter().zip(&whole) {
        assert_eq!(cut.as_ref().unwrap().what, whole.what, "what was given is as in the whole file");
    }
}

#[test]
fn a_fingerprint_tells_content_apart_and_not_names() {
    let fingerprint = |bytes: &[u8]| open(bytes).unwrap().fingerprint().to_owned();
    let text = [HEADER, ROW].concat();
    assert_eq!(fingerprint(text.as_bytes()), fingerprint(text.as_bytes()));
    assert_ne!(fingerprint(text.as_bytes()), fingerprint([&text, ROW].concat().as_bytes()));
    assert_ne!(fingerprint(text.as_bytes()), fingerprint(text.replace("17850", "17851").as_bytes()));
    assert_eq!(fingerprint(text.as_bytes()).len(), 64);
}

#[test]
fn an_import_may_run_on_a_thread_of_its_own() {
    fn sends<T: Send>() {}
    sends::<Importer>();
}

#[test]
fn progress_ends_at_the_files_size() {
    let packed = gzip([HEADER, ROW].concat().as_bytes());
    let file = file(&packed);
    let mut importer = Importer::open(file.path()).unwrap();
    let last = importer.by_ref().last().unwrap().unwrap();
    assert_eq!((last.bytes_read, importer.total_bytes()), (packed.len() as u64, packed.len() as u64));
}
