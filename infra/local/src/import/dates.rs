//! Dates as the editions of the data set write them, in London's time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Reads dates. It remembers the last one, since the rows of an invoice have the same.
pub(super) struct Dates {
    london: TimeZone,
    last: Option<(String, Timestamp)>,
}

impl Dates {
    /// Takes the time zone from the database that is built in, so that each machine reads the same.
    pub(super) fn new() -> Self {
        let london = TimeZoneDatabase::bundled().get("Europe/London");
        Self { london: london.expect("the time zone database is built in"), last: None }
    }

    pub(super) fn read(&mut self, text: &str) -> Option<Timestamp> {
        if let Some((last, time)) = &self.last
            && last == text
        {
            return Some(*time);
        }
        let time = self.london.to_timestamp(civil(text)?).ok()?;
        self.last = Some((text.to_owned(), time));
        Some(time)
    }
}

fn civil(text: &str) -> Option<DateTime> {
    let (date, clock) = text.split_once(['T', ' '])?;
    let [year, month, day] = if date.contains('/') {
        let [month, day, year] = parts(date, '/')?;
        [year, month, day]
    } else {
        parts(date, '-')?
    };
    let clock = if clock.matches(':').count() == 1 { &format!("{clock}:00") } else { clock };
    let [hour, minute, second] = parts(clock, ':')?;
    if year.len() != 4 || [month, day, hour, minute, second].iter().any(|it| it.len() > 2) {
        return None;
    }
    let small = |text: &str| text.parse::<i8>().ok();
    let (month, day) = (small(month)?, small(day)?);
    DateTime::new(year.parse().ok()?, month, day, small(hour)?, small(minute)?, small(second)?, 0).ok()
}

/// Three numbers with a separator between them.
fn parts(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
    (parts.next().is_none() && three.iter().all(digits)).then_some(three)
}

#[cfg(test)]
mod tests {
    use super::Dates;

    fn read(text: &str) -> Option<String> {
        Dates::new().read(text).map(|time| time.to_string())
    }

    #[test]
    fn all_forms_are_read_as_londons_time() {
        let winter = Some("2010-12-01T08:26:00Z".to_owned());
        for text in ["2010-12-01T08:26:00", "2010-12-01 08:26:00", "2010-12-01T08:26", "12/1/2010 8:26"] {
            assert_eq!(read(text), winter, "{text}");
        }
        assert_eq!(read("7/4/2011 10:05").as_deref(), Some("2011-07-04T09:05:00Z"));
    }

    #[test]
    fn an_hour_that_comes_twice_is_its_first_and_one_that_is_skipped_is_moved_on() {
        assert_eq!(read("2011-10-30T01:30:00").as_deref(), Some("2011-10-30T00:30:00Z"));
        assert_eq!(read("2011-03-27T01:30:00").as_deref(), Some("2011-03-27T01:30:00Z"));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "2010-12-01",
            "13/1/2010 8:26",
            "2010-02-30T08:26:00",
            "12/1/10 8:26",
            "2010-12-01T08:26:00Z",
            "2010-12-01T24:00:00",
            "12/1/2010 8:26 PM",
            "2010-12-01T08",
            "+201-12-01T08:26:00",
            "2010-12-001T08:26:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
