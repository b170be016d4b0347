//! URNs: DigitalOcean's identity of a thing, `do:droplet:123`.
//!
//! Split on the first two colons only, because some ids contain colons (IPv6 addresses). A type that nobody
//! has heard of is kept under its own name: DigitalOcean adds types, and one of them must not stop a sync.

use std::borrow::Cow;

/// A URN, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Urn<'a> {
    /// Our kind, or DigitalOcean's type where we have none.
    pub kind: Cow<'a, str>,
    /// DigitalOcean's id.
    pub provider_id: &'a str,
}

/// Takes a URN apart; `None` if it is not one.
pub fn parse(text: &str) -> Option<Urn<'_>> {
    let mut parts = text.splitn(3, ':');
    let (scheme, urn_type, provider_id) = (parts.next()?, parts.next()?, parts.next()?);
    (scheme == "do" && !urn_type.is_empty() && !provider_id.is_empty()).then(|| Urn {
        kind: kind_of(urn_type),
        provider_id,
    })
}

/// Our name for a type of DigitalOcean's.
pub fn kind_of(urn_type: &str) -> Cow<'_, str> {
    let known = match urn_type {
        "domain" => "dns_zone",
        "space" => "spaces_bucket",
        "floatingip" | "reservedip" => "floating_ip",
        "reservedipv6" => "reserved_ipv6",
        "loadbalancer" => "load_balancer",
        "dbaas" => "managed_db",
        "kubernetes" => "k8s_cluster",
        "image" | "volumesnapshot" => "snapshot",
        other => other,
    };
    // A type that nobody has heard of becomes a kind's name, which has small letters, digits and `_`.
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if known.bytes().all(plain) {
        return Cow::Borrowed(known);
    }
    let letters = known.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '_',
    });
    Cow::Owned(letters.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_urn_is_split_on_its_first_two_colons() {
        for (text, kind, id) in [
            ("do:droplet:123", "droplet", "123"),
            ("do:domain:example.com", "dns_zone", "example.com"),
            ("do:reservedipv6:2604:a880::1", "reserved_ipv6", "2604:a880::1"),
            ("do:floatingip:192.0.2.1", "floating_ip", "192.0.2.1"),
            ("do:reservedip:192.0.2.1", "floating_ip", "192.0.2.1"),
            (
                "do:dbaas:9cc10173-e9ea-4176-9dbc-a4cee4c4ff30",
                "managed_db",
                "9cc10173-e9ea-4176-9dbc-a4cee4c4ff30",
            ),
            ("do:quantumdroplet:7", "quantumdroplet", "7"),
            ("do:teamGroup-x:7", "teamgroup_x", "7"),
        ] {
            let urn = parse(text).unwrap();
            assert_eq!((urn.kind.as_ref(), urn.provider_id), (kind, id), "{text}");
        }
        for text in [
            "",
            "do",
            "do:droplet",
            "do:droplet:",
            "do::1",
            "aws:droplet:1",
            "droplet:1",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
