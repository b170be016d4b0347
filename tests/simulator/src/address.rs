//! Addresses for things that have one.
//!
//! Derived from an item's number, so that no two items of a collection share one. They come from the
//! benchmarking block 198.18.0.0/15 (and onwards beyond 131,000 items), from 10/8 and from the documentation
//! prefix 2001:db8::/32: nothing here can be somebody's machine.

/// The template variables `public_v4`, `private_v4`, `public_v6`, the gateways of the public ones, and the blocks of
/// reserved addresses and load balancers, which must not collide with them (100.64.0.0/10).
pub fn derived(variable: &str, ordinal: u64) -> Option<String> {
    // The first addresses of a block belong to the network.
    let number = ordinal + 16;
    let (a, b, c) = (number >> 16, (number >> 8) & 0xff, number & 0xff);
    Some(match variable {
        "public_v4" => format!("198.{}.{b}.{c}", 18 + (a & 0x7f)),
        "public_v4_gateway" => format!("198.{}.{}.1", 18 + (a & 0x7f), b & 0xf0),
        "private_v4" => format!("10.{}.{b}.{c}", 100 + (a & 0x3f)),
        "public_v6" => format!("2001:db8:400:d0::{:x}:{:x}", 0x1000 + a, number & 0xffff),
        "reserved_v4" => format!("100.{}.{b}.{c}", 64 + (a & 0x1f)),
        "balancer_v4" => format!("100.{}.{b}.{c}", 96 + (a & 0x1f)),
        "reserved_v6" => format!("2001:db8:500:d0::{:x}:{:x}", 0x1000 + a, number & 0xffff),
        "public_v6_gateway" => "2001:db8:400:d0::1".to_owned(),
        _ => return None,
    })
}
