//! Values that parameters and paths have: read literally, or refused with half a sentence.
//!
//! Pure; the sentence goes into the 400 behind the parameter's name. It refuses to trim, to fold case, and to take
//! anything that we would not give out.

use chrono::{DateTime, Datelike, Utc};
use uuid::Uuid;

/// Any well-formed kind: the set is open, because a new type of DigitalOcean's is kept under its own name.
pub fn kind(text: &str) -> Result<String, &'static str> {
    let well_formed = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err("must be a kind such as droplet or dns_zone")
    }
}

/// An id of ours, in its usual form only: `urn:uuid:` and braces are not what we give out.
pub fn id(text: &str) -> Result<Uuid, &'static str> {
    let usual = text.len() == 36;
    text.parse().ok().filter(|_| usual).ok_or("must be a UUID")
}

/// A moment of the years that a database knows, too.
pub fn moment(text: &str) -> Result<DateTime<Utc>, &'static str> {
    // A plus sign that nobody encoded arrives as a space.
    DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
        .map(|moment| moment.to_utc())
        .ok()
        .filter(|moment| (0..=9_999).contains(&moment.year()))
        .ok_or("must be a time as in RFC 3339, such as 2026-01-31T00:00:00Z")
}

/// `true` or `false`.
pub fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

/// One of these words; `refusal` lists them.
pub fn word<'w>(
    words: &'w [&'static str],
    refusal: &'static str,
) -> impl Fn(&str) -> Result<String, &'static str> + use<'w> {
    move |text| {
        let known = words.contains(&text);
        known.then(|| text.to_owned()).ok_or(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_literally_or_not_at_all() {
        for good in ["droplet", "k8s_cluster", "quantumdroplet"] {
            assert!(kind(good).is_ok(), "{good}");
        }
        for bad in ["Droplet", "8ball", "_x", "dns-zone", "droplet'", "dröplet", ""] {
            assert!(kind(bad).is_err(), "{bad}");
        }
        assert!(id("0197e7a0-0000-7000-8000-000000000001").is_ok());
        for bad in [
            "",
            "1",
            "0197e7a0000070008000000000000001",
            "{0197e7a0-0000-7000-8000-000000000001}",
        ] {
            assert!(id(bad).is_err(), "{bad}");
        }
        for good in [
            "2026-01-31T00:00:00Z",
            "2026-01-31T01:00:00 01:00",
            "2026-01-31T00:00:00.123456+00:00",
        ] {
            assert!(moment(good).is_ok(), "{good}");
        }
        for bad in [
            "2026-01-31",
            "2026-02-30T00:00:00Z",
            "yesterday",
            "1767225600",
            "2026-01-31 00:00:00Z",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        for bad in ["True", "1", "yes", ""] {
            assert!(truth(bad).is_err(), "{bad}");
        }
        let rule = word(&["item", "parent"], "must be item or parent");
        assert_eq!(rule("item").as_deref(), Ok("item"));
        assert_eq!(rule("Item"), Err("must be item or parent"));
    }
}
