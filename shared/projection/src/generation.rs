//! Generations: a projection is a table, a queue and a consumer; another one is built beside the one that is read.
//!
//! An item for each projection says which generation is read (`active`), which is built (`candidate`) and which is
//! kept fed so that one can go back to it (`previous`). Every change of it is one conditional write, so that two
//! rebuilds, or a swap and a rollback, can't both happen.

mod alias;

pub use alias::{Alias, Aliases, Refused, TransitionError};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A generation of a projection: the version of its folds, and which build of that version it is.
///
/// Written `3` for the first build of version 3, `3-2` for a later one. Its table and queue are called
/// `<micrograph>-<projection>-<generation>`, its function `consumer.<projection>-<generation>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Generation {
    /// The version of the folds.
    pub version: u32,
    /// 0 for the one that is deployed with the code.
    pub build: u32,
}

/// A text that names no generation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no generation: one is written `3`, or `3-2` for a later build of version 3")]
pub struct NoGeneration(pub String);

impl Generation {
    /// The generation that is deployed with the code.
    pub const fn deployed(version: u32) -> Self {
        Self { version, build: 0 }
    }

    /// The name of its table, its queue and its rule, before any prefix of the deployment.
    pub fn name(self, micrograph: &str, projection: &str) -> String {
        format!("{micrograph}-{projection}-{self}")
    }

    /// The handler of its function.
    pub fn handler(self, projection: &str) -> String {
        format!("consumer.{projection}-{self}")
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.build {
            0 => write!(f, "{}", self.version),
            build => write!(f, "{}-{build}", self.version),
        }
    }
}

impl FromStr for Generation {
    type Err = NoGeneration;

    fn from_str(text: &str) -> Result<Self, NoGeneration> {
        let number = |text: &str| text.parse::<u32>().ok();
        let parsed = match text.split_once('-') {
            None => number(text).map(Self::deployed),
            Some((version, build)) => number(version)
                .zip(number(build))
                .filter(|(_, build)| *build > 0)
                .map(|(version, build)| Self { version, build }),
        };
        // `03` or `+3` would be another name for the same table.
        parsed.filter(|it| it.to_string() == text).ok_or_else(|| NoGeneration(text.to_owned()))
    }
}

impl From<Generation> for String {
    fn from(generation: Generation) -> Self {
        generation.to_string()
    }
}

impl TryFrom<String> for Generation {
    type Error = NoGeneration;

    fn try_from(text: String) -> Result<Self, NoGeneration> {
        text.parse()
    }
}

/// How far a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Progress {
    /// It is subscribed, and its past is being filled in.
    Building,
    /// It was compared with its source, and may be swapped in.
    Verified,
    /// It was compared with its source, and differs.
    Failed,
}

impl Progress {
    fn as_str(self) -> &'static str {
        match self {
            Self::Building => "BUILDING",
            Self::Verified => "VERIFIED",
            Self::Failed => "FAILED",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Building, Self::Verified, Self::Failed].into_iter().find(|it| it.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_generation_is_read_as_it_is_written(version: u32, build: u32) {
            let generation = Generation { version, build };
            prop_assert_eq!(generation.to_string().parse(), Ok(generation));
        }
    }

    #[test]
    fn no_two_texts_name_one_generation() {
        for text in ["", "x", "1-0", "01", "+1", "1-02", "1-", "-1", "1-2-3", " 1"] {
            assert_eq!(text.parse::<Generation>(), Err(NoGeneration(text.to_owned())));
        }
    }
}
