//! Names of keys, and the values of records.

use crate::count::{CountsAs, Facts};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::UploadKey;
use crate::store::{Version, Versioned};

/// The first byte of every value, so that a later layout can be told apart.
const LAYOUT: u8 = 2;

/// Layout byte and version: what a script compares.
const COMPARED_BYTES: usize = 9;

/// What is compared, what the record counts as, and its declared bytes, before the record.
const HEADER_BYTES: usize = 18;

/// Bytes that the store reckons with for each record, beyond the record and twice the name of its owner.
const OVERHEAD_BYTES: usize = 256;

/// The names of an owner's keys, all with the same hash tag.
#[derive(Debug)]
pub(super) struct Names {
    beginning: String,
}

impl Names {
    /// Returns the names of an owner, whose hash tag is never empty.
    pub(super) fn of(prefix: &str, owner: &str) -> Self {
        let beginning = format!("{prefix}{{o{}}}", crate::key::hex(owner.as_bytes()));
        Self { beginning }
    }

    pub(super) fn record(&self, upload: &str) -> String {
        format!("{}{upload}", self.beginning)
    }

    pub(super) fn index(&self) -> String {
        format!("{}#expiry", self.beginning)
    }

    pub(super) fn facts(&self) -> String {
        format!("{}#facts", self.beginning)
    }
}

/// Returns the pattern that all records match, and no other key of ours.
pub(super) fn all_records(prefix: &str) -> String {
    format!("{}{{o*}}{}", literal(prefix), "?".repeat(32))
}

/// Returns the pattern that the facts of all owners match.
pub(super) fn all_facts(prefix: &str) -> String {
    format!("{}{{o*}}#facts", literal(prefix))
}

/// Takes from a text what patterns read into it.
fn literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            literal.push('\\');
        }
        literal.push(letter);
    }
    literal
}

/// Returns the key of the record whose name this is.
pub(super) fn parse(prefix: &str, name: &str) -> Option<UploadKey> {
    let (owner, upload) = name
        .strip_prefix(prefix)?
        .strip_prefix("{o")?
        .split_once('}')?;
    let owner = String::from_utf8(unhex(owner)?).ok()?;
    UploadKey::new(owner, unhex(upload)?.try_into().ok()?).ok()
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match *pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// What a script compares with the beginning of a value.
pub(super) fn compared(version: Version) -> [u8; COMPARED_BYTES] {
    let mut compared = [LAYOUT; COMPARED_BYTES];
    compared[1..].copy_from_slice(&version.0.to_be_bytes());
    compared
}

pub(super) fn pack(version: Version, facts: Facts, record: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(record.len().saturating_add(HEADER_BYTES));
    value.extend_from_slice(&compared(version));
    value.push(facts.counts_as.code());
    value.extend_from_slice(&facts.bytes().to_be_bytes());
    value.extend_from_slice(record);
    value
}

pub(super) fn unpack(mut value: Vec<u8>) -> Result<(Versioned, Facts), StoreError> {
    let Some(&[LAYOUT, ref numbers @ ..]) = value.first_chunk::<HEADER_BYTES>() else {
        return Err(StoreError::new(
            StoreErrorKind::Corrupt,
            "a key of this prefix holds something else",
        ));
    };
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&numbers[at..at + 8]);
        u64::from_be_bytes(number)
    };
    let counts_as = CountsAs::from_code(numbers[8]).unwrap_or_default();
    let (version, facts) = (Version(number(0)), Facts::new(counts_as, number(9)));
    value.drain(..HEADER_BYTES);
    let record = value;
    Ok((Versioned { record, version }, facts))
}

/// What a record takes up, in bytes.
pub(super) fn bytes_of(key: &UploadKey, record: &[u8]) -> usize {
    let names = key.owner().len().saturating_mul(2);
    record
        .len()
        .saturating_add(names)
        .saturating_add(OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_their_keys() {
        for owner in ["", "a", "{}\0*", &"ü".repeat(127)] {
            let key = UploadKey::new(owner, [0xa7; 16]).expect("fits");
            let name = Names::of("up:", owner).record(&key.upload_hex());
            assert_eq!(parse("up:", &name), Some(key), "{name}");
        }
        let names = Names::of("up:", "a");
        for name in [names.index(), names.facts(), "up:{6/7}".to_owned()] {
            assert_eq!(parse("up:", &name), None, "{name}");
        }
    }

    #[test]
    fn values_come_back_as_they_were_packed() {
        let facts = Facts::waiting(1 << 40);
        let value = pack(Version(7), facts, b"record");
        assert!(value.starts_with(&compared(Version(7))));
        let (stored, found) = unpack(value).expect("our own");
        assert_eq!(
            (stored.record.as_slice(), stored.version),
            (&b"record"[..], Version(7))
        );
        assert_eq!(found, facts);
        assert!(unpack(vec![LAYOUT; 17]).is_err());
        assert!(unpack(vec![1; 30]).is_err());
    }

    #[test]
    fn a_prefix_is_no_pattern() {
        assert_eq!(all_facts("a*[b]:"), "a\\*\\[b\\]:{o*}#facts");
    }
}
