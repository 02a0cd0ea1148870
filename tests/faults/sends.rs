//! Sends that fail: the datagram is lost, as on any link, and nothing else.

use std::process::Command;

use crate::lab::{self, inside, on};
use crate::rig::{Peer, Rig, SERVER};

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

/// Has the server find one datagram of each of these in its socket at once.
fn asked_at_once(rig: &Rig, peers: &[Peer], ask: impl Fn(usize, &Peer)) {
    rig.program.signal("STOP");
    peers.iter().enumerate().for_each(|(number, peer)| ask(number, peer));
    rig.program.signal("CONT");
}

#[test]
fn packet_filter_that_refuses_some_of_a_batch_loses_none_of_the_others() {
    inside("sends::packet_filter_that_refuses_some_of_a_batch_loses_none_of_the_others", || {
        if !has("nft", "-v") {
            eprintln!("SKIPPED: nft (nftables) is not installed: EPERM is not provoked");
            return;
        }
        let mut rig = Rig::start("");
        let refused = [0, 4, 5, 11];
        for (server, first) in SERVER.into_iter().zip([1, 101]) {
            let peers: Vec<_> =
                (first..first + 12).map(|number| Peer::join(server.parse().unwrap(), number)).collect();
            let ports: Vec<_> = refused.iter().map(|at| peers[*at].port().to_string()).collect();
            let rule = format!("udp dport {{ {} }} drop", ports.join(", "));
            on(
                "server",
                &format!(
                    "nft 'add table inet t; \
                     add chain inet t out {{ type filter hook output priority 0; }}; add rule inet t out {rule}'"
                ),
            );
            asked_at_once(&rig, &peers, |_, peer| peer.ping());
            for port in &ports {
                let line = rig.program.line_with(": Operation not permitted");
                assert!(line.contains("39 bytes to ") && line.contains(&format!(":{port}: ")), "{line}");
            }
            for (number, peer) in peers.iter().enumerate() {
                assert!(refused.contains(&number) || peer.has_pong(), "{number} at {server}");
            }
            on("server", "nft delete table inet t");
            peers.iter().for_each(Peer::is_served);
        }
        let ended = rig.stop();
        assert_eq!(ended.stdout.matches("Operation not permitted").count(), 2 * refused.len());
        assert_eq!(ended.stderr, "");
    });
}

#[test]
fn datagrams_too_long_for_the_link_lose_none_of_the_others_of_a_batch() {
    inside("sends::datagrams_too_long_for_the_link_lose_none_of_the_others_of_a_batch", || {
        let mut rig = Rig::start("");
        let peers: Vec<_> = (1..=9).map(|number| Peer::join(SERVER[0].parse().unwrap(), number)).collect();
        lab::ip("-n server link set s0 mtu 80");
        // Every third answer is one of KEEPALIVE, which does not fit.
        asked_at_once(&rig, &peers, |at, peer| if at % 3 == 0 { peer.keep_alive() } else { peer.ping() });
        for peer in peers.iter().step_by(3) {
            let line = rig.program.line_with(": Message too long");
            assert!(line.contains("55 bytes to ") && line.contains(&format!(":{}: ", peer.port())), "{line}");
        }
        for (at, peer) in peers.iter().enumerate() {
            assert!(at % 3 == 0 || peer.has_pong(), "{at}");
        }
        lab::ip("-n server link set s0 mtu 1500");
        peers.iter().for_each(Peer::is_served);
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
