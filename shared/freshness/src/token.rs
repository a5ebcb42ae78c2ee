//! Consistency tokens: what a mutation wrote, for who wants to read it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;

/// The header that carries tokens, divided by commas.
pub const CONSISTENCY_TOKEN: &str = "x-consistency-token";

/// The header by which a subgraph names the projections that had not reached a token in time, divided by commas.
pub const CONSISTENCY_BEHIND: &str = "x-consistency-behind";

/// The most writes that a token tells of.
pub const MOST_WRITES: usize = 32;

/// For how long a token is good, in seconds: what was written longer ago has arrived, or something is down.
pub const LIFE_SECONDS: u64 = 600;

/// The form of the token: its first byte.
const FORM: u8 = 1;
const HEAD: usize = 1 + 8;
const WRITE: usize = 4 + 8 + 8;
const SIGNATURE: usize = 16;

/// The key that tokens are signed with: the same for all functions of a deployment.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of a secret text; any length is good, 32 bytes of randomness are best.
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        Self(secret.as_ref().to_vec())
    }

    fn sign(&self, content: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(content);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// An aggregate at a version that a mutation brought about, as one type of event tells of it. Names are hashed: a token
/// shows no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Write {
    /// The type of event.
    pub event: u32,
    /// The aggregate.
    pub subject: u64,
    /// The version, packed into one number.
    pub version: u64,
}

impl Write {
    /// A write of `subject`, of which an event of this domain and name tells.
    pub fn new(domain: &str, event: &str, subject: &str, version: u64) -> Self {
        Self { event: Self::event(domain, event), subject: Self::subject(domain, subject), version }
    }

    /// How a type of event stands in a token.
    pub fn event(domain: &str, event: &str) -> u32 {
        let digest = digest(&[domain, event]);
        u32::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    /// How an aggregate stands in a token.
    pub fn subject(domain: &str, subject: &str) -> u64 {
        let digest = digest(&[domain, subject]);
        u64::from_be_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
    }
}

/// What mutations wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    writes: Vec<Write>,
}

/// Why a text is no token that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or of another form.
    #[error("it is no consistency token")]
    Malformed,
    /// It was not signed with this key, or was changed.
    #[error("its signature is wrong")]
    Signature,
    /// It is older than [`LIFE_SECONDS`], or from the future.
    #[error("it is older than {LIFE_SECONDS} seconds")]
    Expired,
}

impl Token {
    /// A token of writes: of one aggregate and type of event, the greatest version counts. Past [`MOST_WRITES`] the
    /// rest is left out.
    pub fn of(writes: impl IntoIterator<Item = Write>) -> Self {
        let mut all: Vec<Write> = Vec::new();
        for write in writes {
            let known = all.iter_mut().find(|it| (it.event, it.subject) == (write.event, write.subject));
            if let Some(known) = known {
                known.version = known.version.max(write.version);
            } else if all.len() < MOST_WRITES {
                all.push(write);
            }
        }
        Self { writes: all }
    }

    /// What was written.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Whether nothing was.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The token's text: about 34 characters, and 27 for each write. `now` is in seconds since 1970.
    pub fn sign(&self, key: &Key, now: u64) -> String {
        let mut bytes = vec![FORM];
        bytes.extend(now.to_be_bytes());
        for Write { event, subject, version } in &self.writes {
            bytes.extend(event.to_be_bytes());
            bytes.extend(subject.to_be_bytes());
            bytes.extend(version.to_be_bytes());
        }
        let signature = key.sign(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&signature[..SIGNATURE]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was signed with this key; `now` is in seconds since 1970.
    pub fn verify(text: &str, key: &Key, now: u64) -> Result<Self, TokenError> {
        const LONGEST: usize = (HEAD + MOST_WRITES * WRITE + SIGNATURE).div_ceil(3) * 4;
        if text.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
        let Some((content, signature)) = bytes.split_last_chunk::<SIGNATURE>() else {
            return Err(TokenError::Malformed);
        };
        let Some((head, writes)) = content.split_first_chunk::<HEAD>() else {
            return Err(TokenError::Malformed);
        };
        if head[0] != FORM || writes.len() % WRITE != 0 {
            return Err(TokenError::Malformed);
        }
        key.sign(content).verify_truncated_left(signature).map_err(|_| TokenError::Signature)?;
        let issued = u64::from_be_bytes(head[1..].try_into().expect("the head has eight bytes of time"));
        // Clocks of functions differ by seconds.
        if issued > now + LIFE_SECONDS || now > issued.saturating_add(LIFE_SECONDS) {
            return Err(TokenError::Expired);
        }
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let writes = writes.chunks_exact(WRITE).map(|bytes| Write {
            event: u32::try_from(number(&bytes[..4])).expect("four bytes"),
            subject: number(&bytes[4..12]),
            version: number(&bytes[12..]),
        });
        Ok(Self { writes: writes.collect() })
    }

    /// Reads the tokens of a header's value as one; those that don't count are left out.
    pub fn of_header(header: &str, key: &Key, now: u64) -> Self {
        let texts = header.split(',').map(str::trim).filter(|text| !text.is_empty());
        let tokens = texts.filter_map(|text| Self::verify(text, key, now).ok());
        Self::of(tokens.flat_map(|token| token.writes))
    }
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    fn key() -> Key {
        Key::new("secret")
    }

    fn token() -> impl Strategy<Value = Token> {
        proptest::collection::vec((any::<u32>(), any::<u64>(), any::<u64>()), 0..40).prop_map(|writes| {
            Token::of(writes.into_iter().map(|(event, subject, version)| Write { event, subject, version }))
        })
    }

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_signed(token in token(), late in 0..=LIFE_SECONDS) {
            let text = token.sign(&key(), NOW);
            prop_assert!(text.len() <= 34 + 27 * token.writes().len());
            prop_assert_eq!(Token::verify(&text, &key(), NOW + late), Ok(token));
            prop_assert_eq!(Token::verify(&text, &key(), NOW + LIFE_SECONDS + 1), Err(TokenError::Expired));
            prop_assert_eq!(Token::verify(&text, &Key::new("other"), NOW), Err(TokenError::Signature));
        }

        #[test]
        fn a_token_that_was_changed_does_not_count(token in token(), at in any::<prop::sample::Index>()) {
            let mut bytes = token.sign(&key(), NOW).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).unwrap();
            prop_assert!(Token::verify(&text, &key(), NOW).is_err());
        }

        #[test]
        fn no_text_breaks_it(text in ".*") {
            prop_assert!(Token::verify(&text, &key(), NOW).is_err());
        }
    }

    #[test]
    fn the_greatest_version_counts() {
        let write = |version| Write::new("pricing", "ProductPriced", "a#GB", version);
        let other = Write::new("pricing", "ProductPriced", "b#GB", 1);
        assert_eq!(Token::of([write(2), other, write(3), write(1)]).writes(), [write(3), other]);
        assert_ne!(Write::subject("a", "bc"), Write::subject("ab", "c"));
    }

    #[test]
    fn a_header_may_hold_several() {
        let write = |subject: &str| Write::new("orders", "OrderPlaced", subject, 1);
        let (one, two) =
            (Token::of([write("1")]).sign(&key(), NOW), Token::of([write("2")]).sign(&key(), NOW));
        let both = Token::of_header(&format!("{one}, nonsense,{two}"), &key(), NOW);
        assert_eq!(both.writes(), [write("1"), write("2")]);
        assert!(Token::of_header("", &key(), NOW).is_empty());
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), "Key(…)");
    }
}
