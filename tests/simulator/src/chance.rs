//! Everything that looks random and is not.
//!
//! Ids, addresses and uuids are hashes of (seed, label, number): the same seed gives the same bytes on
//! every machine and in any order of calls. Choices made in sequence (scale scenario, churn) use ChaCha8.
//! It refuses entropy: nothing here reads the operating system's randomness.

use std::fmt::Write as _;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// A generator for a sequence of choices.
pub fn generator(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// One well-mixed word (splitmix64's finaliser).
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The word that belongs to (seed, label, number).
pub fn word(seed: u64, label: &str, number: u64) -> u64 {
    let labelled = label
        .bytes()
        .fold(mix(seed), |sum, byte| mix(sum ^ u64::from(byte)));
    mix(labelled ^ mix(number))
}

/// A version 4 uuid for (seed, label, number).
pub fn uuid(seed: u64, label: &str, number: u64) -> String {
    let high = word(seed, label, number);
    let low = mix(high);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// Twenty capitals and digits, as the access keys of Spaces.
pub fn capitals(seed: u64, label: &str, number: u64) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let (mut text, mut part) = ("DO00".to_owned(), word(seed, label, number));
    for _ in 0..16 {
        let letter = LETTERS.get(usize::try_from(part % 32).unwrap_or(0));
        text.extend(letter.copied().map(char::from));
        part = mix(part);
    }
    text
}

/// Forty hex characters, as DO's owner and account ids.
pub fn hex40(seed: u64, label: &str, number: u64) -> String {
    let mut text = String::with_capacity(48);
    let mut part = word(seed, label, number);
    while text.len() < 40 {
        let _ = write!(text, "{part:016x}");
        part = mix(part);
    }
    text.truncate(40);
    text
}
