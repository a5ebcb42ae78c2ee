use super::{Cursor, PageArgs, Scope};
use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;
use std::collections::HashMap;

fn args(
    first: Option<i32>,
    after: Option<&str>,
    last: Option<i32>,
    before: Option<&str>,
) -> Result<PageArgs, String> {
    PageArgs::new(first, after.map(str::to_owned), last, before.map(str::to_owned)).map_err(|error| {
        assert_eq!(error.code(), "BAD_USER_INPUT");
        error.to_string()
    })
}

fn shape(args: &PageArgs) -> (usize, bool, Option<&str>) {
    (args.size(), args.backward, args.cursor.as_deref())
}

#[test]
fn arguments_are_a_page_forward_or_backward() {
    assert_eq!(shape(&args(None, None, None, None).unwrap()), (20, false, None));
    assert_eq!(shape(&args(Some(100), Some("a"), None, None).unwrap()), (100, false, Some("a")));
    assert_eq!(shape(&args(None, Some("a"), None, None).unwrap()), (20, false, Some("a")));
    assert_eq!(shape(&args(None, None, Some(1), Some("b")).unwrap()), (1, true, Some("b")));
    assert_eq!(shape(&args(None, None, None, Some("b")).unwrap()), (20, true, Some("b")));
    assert_eq!(shape(&args(None, None, Some(3), None).unwrap()), (3, true, None));
}

#[test]
fn other_arguments_are_the_clients_error() {
    for size in [0, -1, 101, i32::MAX, i32::MIN] {
        assert_eq!(
            args(Some(size), None, None, None).unwrap_err(),
            format!("first must be between 1 and 100; it is {size}")
        );
        assert!(args(None, None, Some(size), None).unwrap_err().starts_with("last must be"));
    }
    assert!(args(Some(1), None, Some(1), None).is_err());
    assert!(args(None, Some("a"), None, Some("b")).is_err());
    assert!(args(Some(1), None, None, Some("b")).is_err());
    assert!(args(None, Some("a"), Some(1), None).is_err());
}

fn cursor(pk: &str, sk: &str) -> Cursor {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    Cursor::of(&HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))]), &["pk", "sk"])
        .unwrap()
}

fn scope() -> Scope {
    Scope("orders of c#1".to_owned())
}

proptest! {
    #[test]
    fn a_cursor_is_read_back(pk in "\\PC{0,40}", sk in "\\PC{0,40}") {
        let cursor = cursor(&pk, &sk);
        let text = cursor.encode(&scope());
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        prop_assert_eq!(Cursor::decode(&text, &scope(), &["pk", "sk"]).unwrap(), cursor);
        prop_assert!(Cursor::decode(&text, &Scope("orders of c#2".to_owned()), &["pk", "sk"]).is_err());
        prop_assert!(Cursor::decode(&text, &scope(), &["g", "pk", "rank", "sk"]).is_err());
    }

    #[test]
    fn a_cursor_with_any_character_changed_is_refused(at: prop::sample::Index, with in "[A-Za-z0-9_+/= é-]") {
        let text = cursor("c#1", "o#17").encode(&scope());
        let at = at.index(text.len());
        prop_assume!(text[at..=at] != with);
        let changed = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        prop_assert!(Cursor::decode(&changed, &scope(), &["pk", "sk"]).is_err());
        let cut = &text[..at];
        prop_assert!(Cursor::decode(cut, &scope(), &["pk", "sk"]).is_err());
        let longer = format!("{text}{with}");
        prop_assert!(Cursor::decode(&longer, &scope(), &["pk", "sk"]).is_err());
    }

    #[test]
    fn garbage_is_no_cursor(text in any::<String>()) {
        prop_assert!(Cursor::decode(&text, &scope(), &["pk", "sk"]).is_err());
    }
}
