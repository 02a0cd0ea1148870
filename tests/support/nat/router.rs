//! The rules of one NAT or firewall, for nftables. Knows interfaces and addresses, no hosts.
//!
//! `masquerade` keeps the port where it is free, filters by address and port, and remembers by 5-tuple: that is the "cone"
//! of Linux. What filters less is made by remembering who sent from where, in maps whose entries expire as mappings do.

use super::plan::{Access, Input};

/// Interface to the internet.
pub(crate) const OUTSIDE: &str = "out";
/// Interface, or bridge, to the hosts.
pub(crate) const INSIDE: &str = "lan";
/// Seconds an entry of these maps lives: the kernel's default for two-way traffic.
const REMEMBERED: u64 = 120;
/// What a sender on the inside is remembered by: with every packet, before it is translated.
const BY_PORT: &str = "@by_port { udp sport : ip saddr . udp sport }";
const BY_PEER: &str = "@by_peer { udp sport . ip daddr : ip saddr . udp sport }";

/// Returns the rules of a router that stands for `access`. Where `hairpin` is its public address, hosts inside reach each
/// other there. `server` is what a blocking one lets pass.
pub(crate) fn rules(access: Access, input: Input, hairpin: Option<&str>, server: &str) -> String {
    if access == Access::Public {
        return String::new();
    }
    let translation = if access == Access::Ipv6 { String::new() } else { translation(access, hairpin) };
    format!("{translation}{}{}", forwarding(access, server), unasked(input))
}

fn translation(access: Access, hairpin: Option<&str>) -> String {
    let (mut learning, mut inward, mut outward) = (Vec::new(), Vec::new(), Vec::new());
    let (learn, from_outside) =
        (format!("oifname {OUTSIDE} meta l4proto udp update"), format!("iifname {OUTSIDE} meta l4proto udp"));
    if access == Access::FullCone {
        learning.push(format!("{learn} {BY_PORT}"));
        inward.push(format!("{from_outside} dnat to udp dport map @by_port"));
    }
    if access == Access::Restricted {
        learning.push(format!("{learn} {BY_PEER}"));
        inward.push(format!("{from_outside} dnat to udp dport . ip saddr map @by_peer"));
    }
    if let Some(public) = hairpin {
        learning.push(format!("{learn} {BY_PORT}"));
        inward.push(format!(
            "iifname {INSIDE} ip daddr {public} meta l4proto udp dnat to udp dport map @by_port"
        ));
        outward.push(format!("oifname {INSIDE} ct status dnat meta l4proto udp snat to {public}"));
    }
    let how = if access == Access::Symmetric { "masquerade fully-random" } else { "masquerade" };
    outward.push(format!("oifname {OUTSIDE} {how}"));
    let map = format!("flags dynamic,timeout; timeout {REMEMBERED}s; size 65535");
    let (learning, inward, outward) = (learning.join("\n"), inward.join("\n"), outward.join("\n"));
    format!(
        "table ip translation {{
           map by_port {{ type inet_service : ipv4_addr . inet_service; {map}; }}
           map by_peer {{ type inet_service . ipv4_addr : ipv4_addr . inet_service; {map}; }}
           chain learning {{ type filter hook postrouting priority srcnat - 1
             {learning}
           }}
           chain inward {{ type nat hook prerouting priority dstnat
             {inward}
           }}
           chain outward {{ type nat hook postrouting priority srcnat
             {outward}
           }}
         }}\n"
    )
}

/// What passes through: what was asked for from inside.
fn forwarding(access: Access, server: &str) -> String {
    let udp = if access == Access::Blocked {
        format!("meta l4proto udp ip saddr != {server} ip daddr != {server} drop")
    } else if access == Access::Silent {
        "meta l4proto udp drop".to_owned()
    } else {
        String::new()
    };
    format!(
        "table inet passing {{
           chain through {{ type filter hook forward priority filter; policy drop
             {udp}
             ct state established,related accept
             ct status dnat accept
             iifname {INSIDE} accept
           }}
         }}\n"
    )
}

/// What comes for the router itself.
fn unasked(input: Input) -> String {
    format!(
        "table inet own {{
           chain unasked {{ type filter hook input priority filter
             iifname {OUTSIDE} meta l4proto udp ct state new {input}
           }}
         }}\n"
    )
}
