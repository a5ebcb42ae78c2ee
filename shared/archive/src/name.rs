//! What objects are called, and so where an event is found.
//!
//! `events/<domain>/<yyyy>/<mm>/<dd>/<hh>/<generation>-<region>-<events>-<digest>.ndjson.zst`, all by the time in the
//! envelopes. The name follows from the content alone.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use object_store::path::Path;
use std::fmt;

/// The folder of all objects.
pub const ROOT: &str = "events";

const EXTENSION: &str = ".ndjson.zst";

/// An hour of UTC, in the years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub(crate) [u16; 4]);

impl Hour {
    /// The first hour of all.
    pub const FIRST: Self = Self([0, 1, 1, 0]);
    /// The last hour of all.
    pub const LAST: Self = Self([9999, 12, 31, 23]);

    /// The hour that holds a moment; none before the year 0.
    pub fn of(time: Timestamp) -> Option<Self> {
        let at = Offset::UTC.to_datetime(time);
        let part = |part: i8| u16::try_from(part).unwrap_or_default();
        let year = u16::try_from(at.year()).ok()?;
        Some(Self([year, part(at.month()), part(at.day()), part(at.hour())]))
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        let at = self.civil().and_then(|at| Offset::UTC.to_timestamp(at).ok());
        at.unwrap_or(Timestamp::MAX)
    }

    fn civil(self) -> Option<DateTime> {
        let part = |part: u16| i8::try_from(part).ok();
        let [year, month, day, hour] = self.0;
        DateTime::new(i16::try_from(year).ok()?, part(month)?, part(day)?, part(hour)?, 0, 0, 0).ok()
    }

    fn checked(self) -> Option<Self> {
        self.civil().map(|_| self)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [year, month, day, hour] = self.0;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}")
    }
}

/// The name of an object, taken apart. In the order in which objects are replayed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The domain of its events.
    pub domain: String,
    /// The hour of its events.
    pub hour: Hour,
    /// How often its events were written anew: 0 as they came, one more than the most of those that a rewrite read.
    /// It stands first, so that what replaces an object is listed after it: who lists or goes on while an hour is
    /// rewritten meets the events twice rather than never.
    pub generation: u32,
    /// The region that published its events.
    pub region: String,
    /// How many they are.
    pub events: u64,
    /// 128 bits of SHA-256 over the lines, in hexadecimal.
    pub digest: String,
}

impl ObjectName {
    /// The greatest generation that a name can hold.
    pub const LAST_GENERATION: u32 = 999_999;

    /// Where the object is.
    pub fn path(&self) -> Path {
        Path::from(self.to_string())
    }

    /// Takes a path apart; none where it is no object of the archive.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let (root, domain) = (parts.next()?, parts.next()?);
        let hour = Hour([number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?, {
            number(parts.next()?, 2)?
        }]);
        let (generation, rest) = parts.next()?.strip_suffix(EXTENSION)?.split_once('-')?;
        let mut rest = rest.rsplitn(3, '-');
        let (digest, events, region) = (rest.next()?, rest.next()?, rest.next()?);
        let hexadecimal = digest.len() == 32 && digest.bytes().all(|it| it.is_ascii_hexdigit());
        let generation_digits = generation.len() == 6 && generation.bytes().all(|it| it.is_ascii_digit());
        if root != ROOT || parts.next().is_some() || !hexadecimal || !generation_digits {
            return None;
        }
        let name = Self {
            domain: plain(domain)?.to_owned(),
            hour: hour.checked()?,
            generation: generation.parse().ok()?,
            region: plain(region)?.to_owned(),
            events: events.parse().ok()?,
            digest: digest.to_owned(),
        };
        Some(name)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, hour: Hour([year, month, day, hour]), generation, region, events, digest } = self;
        write!(f, "{ROOT}/{domain}/{year:04}/{month:02}/{day:02}/{hour:02}/")?;
        write!(f, "{generation:06}-{region}-{events}-{digest}{EXTENSION}")
    }
}

/// The folder of some leading parts of an hour: year, month, day, hour.
pub(crate) fn folder(domain: &str, parts: &[u16]) -> Path {
    let parts = parts.iter().enumerate().map(|(level, part)| match level {
        0 => format!("{part:04}"),
        _ => format!("{part:02}"),
    });
    [ROOT.to_owned(), domain.to_owned()].into_iter().chain(parts).collect()
}

/// A part of an hour as it stands in a path.
pub(crate) fn number(part: &str, digits: usize) -> Option<u16> {
    (part.len() == digits && part.bytes().all(|it| it.is_ascii_digit())).then(|| part.parse().ok())?
}

/// A name that may stand in a path: 1 to 64 small letters, digits, `-` and `_`.
pub(crate) fn plain(name: &str) -> Option<&str> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    ((1..=64).contains(&name.len()) && name.bytes().all(good)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_read_as_it_was_written(
            domain in "[a-z0-9_-]{1,64}", region in "[a-z0-9_-]{1,64}", events: u64, digest in "[0-9a-f]{32}",
            generation in 0..=ObjectName::LAST_GENERATION, seconds in 0_i64..253_402_207_200,
        ) {
            let hour = Hour::of(Timestamp::from_second(seconds).unwrap()).unwrap();
            let name = ObjectName { domain, hour, generation, region, events, digest };
            prop_assert_eq!(ObjectName::parse(&name.to_string()), Some(name.clone()));
            let path = name.path();
            prop_assert_eq!(path.as_ref(), name.to_string());
            prop_assert!(hour.start().as_second() <= seconds && seconds < hour.start().as_second() + 3600);
        }

        #[test]
        fn no_path_is_too_odd_to_be_refused(path in ".*") {
            let _ = ObjectName::parse(&path);
        }
    }

    #[test]
    fn what_is_no_object_of_the_archive_has_no_name() {
        let good = format!("events/orders/2011/01/04/10/000000-eu-west-1-17-{}.ndjson.zst", "0f".repeat(16));
        assert_eq!(ObjectName::parse(&good).unwrap().region, "eu-west-1");
        for (from, to) in
            [("events", "other"), ("orders", "Orders"), ("/01/04/", "/13/04/"), ("/10/", "/24/")]
        {
            assert_eq!(ObjectName::parse(&good.replace(from, to)), None, "{to}");
        }
        for (from, to) in
            [("000000-", "-"), ("0f", "0g"), (".zst", ".gz"), ("-17-", "-x-"), ("/2011/", "/11/")]
        {
            assert_eq!(ObjectName::parse(&good.replace(from, to)), None, "{to}");
        }
    }

    #[test]
    fn before_the_year_0_there_is_no_hour() {
        assert_eq!(Hour::of("-000001-06-01T00:00:00Z".parse().unwrap()), None);
        assert_eq!(Hour::of("0000-01-01T00:59:00Z".parse().unwrap()), Some(Hour::FIRST));
    }
}
