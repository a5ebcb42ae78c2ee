//! Names that stand in paths.

use serde::{Deserialize, Serialize};

/// The longest name.
const LONGEST: usize = 64;

/// A name that can't stand in a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} can't be the name of {1}: it takes 1 to {LONGEST} of a-z, 0-9, - and _, a letter or a digit first"
)]
pub struct BadName(String, &'static str);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text.to_owned())
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                if is_plain(&text) { Ok(Self(text)) } else { Err(BadName(text, $what)) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A deployed graph: `production`, `staging`, a branch's.
    Variant,
    "a variant"
);

name!(
    /// A view of a variant without what its tags leave out, such as `public`.
    ContractName,
    "a contract"
);

fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= LONGEST
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_path() {
        for good in ["production", "staging", "feature-17_b", "1"] {
            assert_eq!(good.parse::<Variant>().unwrap().as_str(), good);
        }
        let long = "a".repeat(LONGEST + 1);
        for bad in ["", "..", "a/b", "Production", "-a", "_a", "a b", "ä", "a.b", long.as_str()] {
            assert!(bad.parse::<Variant>().is_err(), "{bad}");
            assert!(serde_json::from_str::<ContractName>(&format!("{bad:?}")).is_err(), "{bad}");
        }
    }
}
