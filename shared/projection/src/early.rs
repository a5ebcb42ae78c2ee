//! Changes that came before their turn, packed into the item that they wait for: they cost no write of their own.
//!
//! Envelopes of one aggregate's changes are much alike, so that several of them, compressed, take little more than one.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use std::io::Write as _;

/// How many bytes of an item the changes that wait in it take at most, as they are packed. A write bills the whole item:
/// beyond this, one that keeps a change beside the item, and another one that removes it, are no dearer.
pub const PACKED: usize = 2 * 1024;

/// How many bytes their envelopes have at most.
pub const PLAIN: usize = 64 * 1024;

/// The first byte says how the rest is packed.
const FORMAT: u8 = 1;

/// What stands behind each envelope; in JSON it never stands.
const END: char = '\0';

/// What an item holds in the place of packed changes isn't what was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// By a later build, or by none.
    #[error("it is packed in another way than this build knows")]
    Format,
    /// Compressed data that ends too early, is wrong, or gives more than was packed.
    #[error("it can't be unpacked")]
    Packed,
    /// It unpacks to something else.
    #[error("it is no text of envelopes")]
    Text,
}

/// Packs envelopes; none where there are none or they take too much.
pub fn pack<'a>(events: impl IntoIterator<Item = &'a str>) -> Option<Vec<u8>> {
    let mut plain = String::new();
    for event in events {
        plain.push_str(event);
        plain.push(END);
        if plain.len() > PLAIN {
            return None;
        }
    }
    if plain.is_empty() {
        return None;
    }
    let mut packed = DeflateEncoder::new(vec![FORMAT], Compression::default());
    packed.write_all(plain.as_bytes()).ok()?;
    packed.finish().ok().filter(|packed| packed.len() <= PACKED)
}

/// The envelopes that were packed.
pub fn unpack(packed: &[u8]) -> Result<Vec<String>, Garbled> {
    let Some((&FORMAT, packed)) = packed.split_first() else { return Err(Garbled::Format) };
    let mut plain = Vec::with_capacity(PLAIN);
    // It fills what there is room for, and no more.
    match Decompress::new(false).decompress_vec(packed, &mut plain, FlushDecompress::Finish) {
        Ok(Status::StreamEnd) => {}
        Ok(_) | Err(_) => return Err(Garbled::Packed),
    }
    let plain = String::from_utf8(plain).map_err(|_| Garbled::Text)?;
    let events = plain.strip_suffix(END).ok_or(Garbled::Text)?;
    Ok(events.split(END).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(events: &[String]) -> Option<Vec<u8>> {
        pack(events.iter().map(String::as_str))
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(events in proptest::collection::vec("[^\0]{0,40}", 1..12)) {
            let packed = packed(&events).expect("it is little");
            prop_assert_eq!(unpack(&packed), Ok(events));
        }

        #[test]
        fn what_is_not_packed_is_told(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), known: bool) {
            if let Some(first) = bytes.first_mut().filter(|_| known) {
                *first = FORMAT;
            }
            if let Ok(events) = unpack(&bytes) {
                prop_assert!(!events.is_empty());
            }
        }

        #[test]
        fn what_is_cut_or_changed_never_is_a_part(cut in 0..100_usize, at in 0..100_usize, bit in 0..8_u8) {
            let events: Vec<String> = (0..9).map(|it| format!("{{\"seq\":{it}}}")).collect();
            let whole = packed(&events).expect("it is little");
            prop_assert!(unpack(&whole[..cut % whole.len()]).is_err());
            let mut other = whole.clone();
            other[at % whole.len()] ^= 1_u8 << bit;
            let _ = unpack(&other);
        }
    }

    #[test]
    fn what_is_too_much_is_not_packed() {
        let alike: Vec<String> =
            (0..20).map(|it| format!("{{\"n\":{it},\"text\":\"{}\"}}", "x".repeat(500))).collect();
        let taken = packed(&alike).map(|it| it.len());
        assert!(taken.is_some_and(|it| it < 300), "{taken:?}");
        let many: Vec<String> = (0..200).map(|_| "x".repeat(500)).collect();
        assert_eq!(packed(&many), None, "they unpack to more than is read again");
        let mut number: u64 = 1;
        let mut noise = || {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{number:016x}")
        };
        let different: Vec<String> = (0..20).map(|_| (0..20).map(|_| noise()).collect()).collect();
        assert_eq!((packed(&different), packed(&[])), (None, None));
    }

    #[test]
    fn what_would_unpack_to_more_than_was_packed_is_not_unpacked() {
        let mut large = DeflateEncoder::new(vec![FORMAT], Compression::default());
        large.write_all(&vec![b' '; 100 * PLAIN]).unwrap();
        assert_eq!(unpack(&large.finish().unwrap()), Err(Garbled::Packed));
        assert_eq!([unpack(&[]), unpack(&[0]), unpack(&[2, 3, 0])], [const { Err(Garbled::Format) }; 3]);
        assert_eq!(unpack(&[FORMAT, 3, 0]), Err(Garbled::Text), "nothing at all");
    }
}
