//! Sends that fail: the datagram is lost, as on any link, and nothing else.

use std::process::Command;

use crate::lab::{self, inside, on};
use crate::rig::{Peer, Rig};

/// Has a send fail with this text, mends, and asserts that both families are served as before.
fn fails_and_heals(rig: &mut Rig, peers: &[Peer], provoke: &str, error: &str, mend: &str) {
    println!("{provoke}");
    on("server", provoke);
    peers[0].ping();
    let line = rig.program.line_with(&format!(": {error}"));
    assert!(line.contains("39 bytes to "), "{line}");
    on("server", mend);
    peers.iter().for_each(Peer::is_served);
}

fn has(tool: &str, argument: &str) -> bool {
    Command::new(tool).arg(argument).output().is_ok_and(|ran| ran.status.success())
}

#[test]
fn missing_routes_lose_what_is_sent_and_nothing_else() {
    inside("sends::missing_routes_lose_what_is_sent_and_nothing_else", || {
        let mut rig = Rig::start("");
        let peers = Peer::of_both_families();
        let errors = [
            ("prohibit", "Permission denied"),
            ("unreachable", "No route to host"),
            ("blackhole", "Invalid argument"),
        ];
        for (kind, error) in errors {
            let provoke = format!("ip route add {kind} 192.0.2.2/32");
            let mend = format!("ip route del {kind} 192.0.2.2/32");
            fails_and_heals(&mut rig, &peers, &provoke, error, &mend);
        }
        let connected = "192.0.2.0/24 dev s0 proto kernel scope link src 192.0.2.1";
        let (provoke, mend) = (format!("ip route del {connected}"), format!("ip route add {connected}"));
        fails_and_heals(&mut rig, &peers, &provoke, "Network is unreachable", &mend);
        assert_eq!(rig.stop().stderr, "");
    });
}

#[test]
fn packet_filter_that_refuses_loses_what_is_sent_and_nothing_else() {
    inside("sends::packet_filter_that_refuses_loses_what_is_sent_and_nothing_else", || {
        if !has("nft", "-v") {
            eprintln!("SKIPPED: nft (nftables) is not installed: EPERM is not provoked");
            return;
        }
        let mut rig = Rig::start("");
        let peers = Peer::of_both_families();
        let provoke = "nft 'add table inet t; add chain inet t out { type filter hook output priority 0; }; \
                       add rule inet t out udp sport 1066 drop'";
        fails_and_heals(&mut rig, &peers, provoke, "Operation not permitted", "nft delete table inet t");
        assert_eq!(rig.stop().stderr, "");
    });
}

#[test]
fn link_smaller_than_a_datagram_loses_the_large_ones_only() {
    inside("sends::link_smaller_than_a_datagram_loses_the_large_ones_only", || {
        let mut rig = Rig::start("");
        let peer = &Peer::of_both_families()[0];
        // PONG takes 39 + 28 bytes, KEEPALIVE_REPLY 55 + 28. The link takes 4 bytes more than it sends, so that KEEPALIVE
        // comes through.
        lab::ip("-n server link set s0 mtu 80");
        peer.keep_alive();
        let line = rig.program.line_with(": Message too long");
        assert!(line.contains("55 bytes to "), "{line}");
        peer.is_pinged();
        lab::ip("-n server link set s0 mtu 1500");
        peer.is_served();
        assert_eq!(rig.stop().stderr, "");
    });
}

#[test]
fn link_that_holds_up_sending_loses_what_does_not_fit_and_serves_again() {
    inside("sends::link_that_holds_up_sending_loses_what_does_not_fit_and_serves_again", || {
        if !has("tc", "-V") {
            eprintln!("SKIPPED: tc (iproute2) is not installed: EAGAIN is not provoked");
            return;
        }
        let mut rig = Rig::start("strangerrate: 0\n");
        let peers = Peer::of_both_families();
        on("server", "tc qdisc replace dev s0 root tbf rate 8kbit burst 2000 limit 10000000");
        // More than a send buffer holds.
        (0..4_000).for_each(|_| peers[0].ping());
        // Answers to one address may leave as one train, which is lost as a whole.
        let line = rig.program.line_with(" bytes to 192.0.2.2:");
        assert!(line.contains("Resource temporarily unavailable"), "{line}");
        on("server", "tc qdisc del dev s0 root");
        peers.iter().for_each(Peer::is_served);
        assert_eq!(rig.stop().stderr, "");
    });
}

#[test]
fn closed_port_of_a_client_is_no_news() {
    inside("sends::closed_port_of_a_client_is_no_news", || {
        let rig = Rig::start("");
        let peers = Peer::of_both_families();
        // The server hears them when their sockets have gone.
        rig.program.signal("STOP");
        for peer in &peers {
            (0..100).for_each(|_| Peer::unregistered(peer.server).ping());
        }
        rig.program.signal("CONT");
        peers.iter().for_each(Peer::is_served);
        let ended = rig.stop();
        assert!(!ended.stdout.contains("receiving: "), "{}", ended.stdout);
        assert_eq!(ended.stderr, "");
    });
}
