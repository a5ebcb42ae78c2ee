//! Cache tags, and how they are folded where they are too many.

use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The header that carries an answer's tags, divided by commas.
pub const CACHE_TAG: &str = "cache-tag";

/// The most tags that a cache keeps of an answer; CloudFront's limit.
pub const MOST_TAGS: usize = 50;

/// The longest tag, in bytes; CloudFront's limit.
const LONGEST: usize = 256;

/// What every tag of a projection begins with, and the tag of everything.
const OURS: &str = "tr";

/// Digits of a projection's hash.
const PROJECTION_DIGITS: usize = 6;

/// How many digits of a partition's hash are left at each step of folding.
const STEPS: [usize; 4] = [16, 2, 1, 0];

/// A part of the shop that an answer may show: a partition of a projection, or many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl Tag {
    /// The rows of one partition of a projection, which is named as in `pricing-offers`.
    pub fn partition(projection: &str, partition: &str) -> Self {
        Self::exact(projection, &[b"", partition.as_bytes()])
    }

    /// The rows of one partition of an index of a projection: which there are, and in which order.
    pub fn index(projection: &str, index: &str, partition: &str) -> Self {
        Self::exact(projection, &[index.as_bytes(), partition.as_bytes()])
    }

    fn exact(projection: &str, parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        let projection = hex(&Sha256::digest(projection.as_bytes()), PROJECTION_DIGITS);
        Self(format!("{OURS}.{projection}.{}", hex(&digest.finalize(), STEPS[0])))
    }

    /// A tag as it stands in a header; none where caches would not keep it.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        // Caches don't tell cases apart.
        ((1..=LONGEST).contains(&text.len()) && plain).then(|| Self(text.to_ascii_lowercase()))
    }

    /// Itself, and every tag that it may have been folded into: what is purged where this changes.
    pub fn announced(&self) -> Vec<Self> {
        let mut all = vec![self.clone()];
        while let Some(wider) = all.last().and_then(Self::wider) {
            all.push(wider);
        }
        all
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The next step of folding; none for the tag of everything, and for tags of others.
    fn wider(&self) -> Option<Self> {
        let (projection, partition) = self.parts()?;
        if projection.is_empty() {
            return None;
        }
        if partition.is_empty() {
            return Some(Self(OURS.to_owned()));
        }
        let left = STEPS.into_iter().find(|left| *left < partition.len()).unwrap_or(0);
        Some(Self(match left {
            0 => format!("{OURS}.{projection}"),
            left => format!("{OURS}.{projection}.{}", &partition[..left]),
        }))
    }

    /// The digits of projection and partition; none for a tag of others.
    fn parts(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.split('.');
        if parts.next() != Some(OURS) {
            return None;
        }
        let (projection, partition) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = (projection.is_empty() || projection.len() == PROJECTION_DIGITS)
            && STEPS.contains(&partition.len())
            && digits(projection)
            && digits(partition)
            && parts.next().is_none();
        known.then_some((projection, partition))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tags of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    all: BTreeSet<Tag>,
    lost: bool,
}

impl Tags {
    /// Adds a tag.
    pub fn insert(&mut self, tag: Tag) {
        self.all.insert(tag);
    }

    /// Adds the tags of another part of the answer.
    pub fn merge(&mut self, other: Self) {
        self.all.extend(other.all);
        self.lost |= other.lost;
    }

    /// Adds the tags of a header's value. One that caches would not keep is lost: the answer can't be purged by it.
    pub fn read(&mut self, header: &str) {
        for text in header.split(',').filter(|text| !text.trim().is_empty()) {
            match Tag::parse(text) {
                Some(tag) => _ = self.all.insert(tag),
                None => self.lost = true,
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && !self.lost
    }

    /// The tags, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.all.iter()
    }

    /// At most [`MOST_TAGS`] tags that stand for no less; none where the answer can't be purged by any so few, because
    /// there are too many tags of others.
    #[must_use]
    pub fn folded(&self) -> Option<Self> {
        if self.lost {
            return None;
        }
        let mut all = self.without_covered();
        while all.len() > MOST_TAGS {
            // The projection with the most tags loses the most by keeping them; of two, the first in order.
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (projection, _) in all.iter().filter_map(Tag::parts) {
                *counts.entry(projection).or_default() += 1;
            }
            let most = counts.values().copied().max()?;
            let projection = counts.iter().find(|(_, count)| **count == most)?.0.to_string();
            if projection.is_empty() {
                return None;
            }
            // Only the longest are cut: a tag that was folded before is as wide as it needs to be.
            let of = |tag: &Tag| tag.parts().is_some_and(|(it, _)| it == projection);
            let longest = all.iter().filter(|tag| of(tag)).map(|tag| tag.0.len()).max()?;
            let (cut, kept): (Vec<Tag>, Vec<Tag>) =
                all.into_iter().partition(|tag| of(tag) && tag.0.len() == longest);
            all = kept.into_iter().chain(cut.iter().filter_map(Tag::wider)).collect();
            all = Self { all, lost: false }.without_covered();
        }
        Some(Self { all, lost: false })
    }

    /// The tags without those that a wider one stands for too.
    fn without_covered(&self) -> BTreeSet<Tag> {
        let covered = |tag: &&Tag| tag.announced().iter().skip(1).any(|wider| self.all.contains(wider));
        self.all.iter().filter(|tag| !covered(tag)).cloned().collect()
    }

    /// The header's value; none where there are no tags, or none that would do (see [`Tags::folded`]).
    pub fn header(&self) -> Option<String> {
        let folded = self.folded()?;
        let texts: Vec<&str> = folded.all.iter().map(Tag::as_str).collect();
        (!texts.is_empty()).then(|| texts.join(","))
    }
}

impl FromIterator<Tag> for Tags {
    fn from_iter<T: IntoIterator<Item = Tag>>(tags: T) -> Self {
        Self { all: tags.into_iter().collect(), lost: false }
    }
}

fn hex(bytes: &[u8], digits: usize) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(digits + 1);
    for byte in &bytes[..digits.div_ceil(2).min(bytes.len())] {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag() -> impl Strategy<Value = Tag> {
        (0_u8..4, 0_u16..2_000, any::<bool>()).prop_map(|(projection, partition, index)| {
            let (projection, partition) = (format!("shop-{projection}"), partition.to_string());
            if index {
                Tag::index(&projection, "by", &partition)
            } else {
                Tag::partition(&projection, &partition)
            }
        })
    }

    fn tags(most: usize) -> impl Strategy<Value = Tags> {
        proptest::collection::vec(tag(), 0..most).prop_map(Tags::from_iter)
    }

    /// Whether a purge of what changed would hit the answer.
    fn hit(answer: &Tags, changed: &Tag) -> bool {
        changed.announced().iter().any(|announced| answer.all.contains(announced))
    }

    proptest! {
        #[test]
        fn a_folded_answer_is_hit_by_all_that_it_shows(tags in tags(400)) {
            let folded = tags.folded().unwrap();
            prop_assert!(folded.all.len() <= MOST_TAGS);
            prop_assert!(tags.iter().all(|tag| hit(&folded, tag)));
            if tags.all.len() <= MOST_TAGS {
                prop_assert_eq!(&folded, &tags);
            }
            // A header is read as it was written, and folded no further.
            let mut read = Tags::default();
            read.read(&folded.header().unwrap_or_default());
            prop_assert_eq!(&read, &folded);
            prop_assert_eq!(read.folded(), Some(folded));
        }

        #[test]
        fn parts_that_were_folded_before_lose_nothing(a in tags(150), b in tags(150)) {
            let mut merged = a.folded().unwrap();
            merged.merge(b.folded().unwrap());
            let merged = merged.folded().unwrap();
            prop_assert!(merged.all.len() <= MOST_TAGS);
            prop_assert!(a.iter().chain(b.iter()).all(|tag| hit(&merged, tag)));
        }

        #[test]
        fn merging_has_no_order(a in tags(20), b in tags(20)) {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(b);
            ba.merge(a.clone());
            prop_assert_eq!(&ab, &ba);
            ab.merge(a);
            prop_assert_eq!(ab, ba);
        }
    }

    #[test]
    fn partitions_indexes_and_projections_are_told_apart() {
        let all = [
            Tag::partition("a", "x"),
            Tag::partition("b", "x"),
            Tag::partition("a", "y"),
            Tag::index("a", "by", "x"),
            Tag::index("a", "b", "yx"),
        ];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all[0].announced().len(), 5);
        assert_eq!(all[0].announced()[4].as_str(), "tr");
    }

    #[test]
    fn tags_of_others_stay_as_they_are() {
        let mut tags = Tags::default();
        tags.read("Product:1, tr.zz, ,tr.123456.1234");
        let texts: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        assert_eq!(texts, ["product:1", "tr.123456.1234", "tr.zz"]);
        assert!(tags.iter().all(|tag| tag.announced().len() == 1));
        assert_eq!(tags.header().unwrap(), "product:1,tr.123456.1234,tr.zz");
    }

    #[test]
    fn what_can_not_be_purged_has_no_header() {
        let many: Tags = (0..=MOST_TAGS).filter_map(|it| Tag::parse(&format!("other:{it}"))).collect();
        assert_eq!(many.folded(), None);
        assert_eq!(many.header(), None);
        let mut unreadable = Tags::default();
        unreadable.read(&"x".repeat(LONGEST + 1));
        assert!(!unreadable.is_empty());
        assert_eq!(unreadable.folded(), None);
        assert_eq!(Tags::default().folded(), Some(Tags::default()));
    }

    #[test]
    fn more_projections_than_tags_are_everything() {
        let many: Tags = (0..100).map(|it| Tag::partition(&format!("p{it}"), "x")).collect();
        assert!(many.folded().is_some_and(|folded| folded.all.len() <= MOST_TAGS));
        assert!(many.iter().all(|tag| hit(&many.folded().unwrap(), tag)));
    }
}
