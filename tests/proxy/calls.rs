//! Whole calls: through a proxy, through two, and between those behind one and those before the server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use roundtable_signalling::client::Options;
use roundtable_signalling::config::ProxyProtocol::{self, Spp, V2};
use roundtable_signalling::proto::identity::SecretKey;

use crate::proxied::{END, OTHER_END, Proxy, server};
use crate::rig::{Peer, descriptions, exchange, identifier, socket, within};

/// The largest real description, of 58 KB.
fn largest() -> Bytes {
    descriptions().into_iter().map(|(_, blob)| blob).max_by_key(Bytes::len).unwrap()
}

/// Calls both ways with large and small descriptions, up to the direct path, on which the true addresses are.
async fn call(one: &mut Peer, two: &mut Peer) {
    for peer in [&*one, &*two] {
        assert_eq!(peer.observed, peer.client.local_addr(), "not the true address");
    }
    exchange(two, one, largest(), "answer").await;
    let (mut call, mut ringing) = exchange(one, two, largest(), largest()).await;
    let (ours, theirs) = within(async { tokio::join!(call.punch(), ringing.call().path()) }).await;
    assert_eq!((ours.unwrap().peer, theirs.unwrap().peer), (two.observed, one.observed));
}

/// A peer at one address of this host, that there is one way between two.
async fn at_loopback(options: Options) -> Peer {
    Peer::start(Options { socket: Some(socket(Ipv4Addr::LOCALHOST).await), ..options }).await
}

async fn plain(server: SocketAddr, number: u8) -> Peer {
    at_loopback(Options::new(server, identifier(number))).await
}

async fn keyed(server: SocketAddr, number: u8) -> Peer {
    at_loopback(Options::new(server, SecretKey::from_seed(&[number; 32]).unwrap())).await
}

async fn through_one_proxy(protocol: ProxyProtocol, further: &[&str]) {
    let (port, stats) = server(protocol);
    let proxy = Proxy::start(protocol, port, END, further);
    let (mut one, mut two) = (plain(proxy.address, 1).await, plain(proxy.address, 2).await);
    call(&mut one, &mut two).await;
    // A signed registration names the proxy's address.
    let (mut three, mut four) = (keyed(proxy.address, 3).await, keyed(proxy.address, 4).await);
    call(&mut three, &mut four).await;
    let report = proxy.stop();
    assert_eq!(report.of("clients"), 4);
    let stats = stats.snapshot();
    assert_eq!(stats.transport.refused_headers.total(), 0, "{:?}", stats.transport);
    assert!(stats.counters.bytes_out <= stats.counters.bytes_in, "{:?}", stats.counters);
}

#[tokio::test]
async fn calls_come_through_a_simple_proxy_with_true_addresses() {
    through_one_proxy(Spp, &[]).await;
}

#[tokio::test]
async fn calls_come_through_a_simple_proxy_that_has_one_port_for_all() {
    through_one_proxy(Spp, &["--one-port"]).await;
}

#[tokio::test]
async fn calls_come_through_a_proxy_that_says_once_for_whom_a_flow_is() {
    through_one_proxy(V2, &[]).await;
}

#[tokio::test]
async fn fragments_of_a_large_offer_come_and_go_as_trains() {
    for protocol in [Spp, V2] {
        let (port, _) = server(protocol);
        let proxy = Proxy::start(protocol, port, END, &["--trains"]);
        let (mut one, mut two) = (plain(proxy.address, 1).await, plain(proxy.address, 2).await);
        call(&mut one, &mut two).await;
        let report = proxy.stop();
        // 58 fragments go through three times.
        let trains = [report.of("trains_to_server"), report.of("trains_from_server")];
        assert!(trains.iter().all(|trains| *trains > 0), "{report:?}");
        assert!(report.of("from_server") > 170, "{report:?}");
    }
}

#[tokio::test]
async fn peers_behind_a_proxy_behind_another_and_behind_none_call_each_other() {
    for protocol in [Spp, V2] {
        let (port, stats) = server(protocol);
        let (here, there) =
            (Proxy::start(protocol, port, END, &[]), Proxy::start(protocol, port, OTHER_END, &[]));
        let direct = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut one = plain(here.address, 1).await;
        let mut two = plain(there.address, 2).await;
        let mut three = plain(direct, 3).await;
        call(&mut one, &mut two).await;
        call(&mut two, &mut three).await;
        call(&mut three, &mut one).await;
        assert_eq!((here.stop().of("clients"), there.stop().of("clients")), (1, 1));
        assert_eq!(stats.snapshot().transport.refused_headers.total(), 0);
    }
}

#[tokio::test]
async fn calls_come_through_a_proxy_over_ipv6() {
    if tokio::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.is_err() {
        println!("SKIPPED: this host has no IPv6 loopback");
        return;
    }
    // A proxy that is reached over IPv6 may reach the server over IPv4.
    for (server_ip, further) in [("[::1]", &[][..]), ("127.0.0.1", &["--from", "127.0.0.2"][..])] {
        for protocol in [Spp, V2] {
            let (port, stats) = server(protocol);
            let proxy = Proxy::start_at(protocol, "[::1]:0", &format!("{server_ip}:{port}"), further);
            let key = Options::new(proxy.address, SecretKey::from_seed(&[2; 32]).unwrap());
            let (one, mut two) = (Peer::join(proxy.address, 1).await, Peer::start(key).await);
            assert_eq!(one.observed.ip(), Ipv6Addr::LOCALHOST);
            assert_eq!(
                (one.observed.port(), two.observed.port()),
                (one.client.local_addr().port(), two.client.local_addr().port())
            );
            exchange(&one, &mut two, largest(), largest()).await;
            proxy.stop();
            assert_eq!(stats.snapshot().transport.refused_headers.total(), 0);
        }
    }
}
