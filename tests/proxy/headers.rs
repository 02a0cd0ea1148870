//! Headers that must not count: from whom is no proxy, none from whom is one, and what has become of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use roundtable_signalling::config::ProxyProtocol::{Off, Spp, V2};
use roundtable_signalling::proto::proxy::{Refusal, spp, v2};
use roundtable_signalling::proto::wire::{self, Frame, Ping, TransactionId, Zeros};
use tokio::net::UdpSocket;

use crate::proxied::{END, Proxy, server};
use crate::rig::{socket, within};

fn ping(number: u8) -> Vec<u8> {
    Frame::Ping(Ping { transaction: TransactionId([number; 16]), zero: Zeros::ZERO }).to_vec()
}

/// The bytes of the next datagram.
async fn hear(socket: &Arc<UdpSocket>) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let length = within(socket.recv(&mut buffer)).await.unwrap();
    buffer[..length].to_vec()
}

/// Number and observed address of a PONG.
fn pong(datagram: &[u8]) -> (u8, SocketAddr) {
    let Ok(Frame::Pong(pong)) = wire::decode(datagram) else { panic!("{datagram:?}") };
    (pong.transaction.0[0], pong.observed.socket_addr().unwrap())
}

#[tokio::test]
async fn forged_headers_are_refused_and_their_senders_served_as_who_they_are() {
    let victim: SocketAddr = "127.0.0.9:9".parse().unwrap();
    for protocol in [Spp, V2] {
        let (port, stats) = server(protocol);
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let header = match protocol {
            V2 => [&v2::SIGNATURE[..], b"\x21\x12\0\x0C\x7F\0\0\x09\x7F\0\0\x04\0\x09\x04\x2A"].concat(),
            Spp | Off => spp::Header { client: victim, proxy: server }.to_bytes().to_vec(),
        };
        let forger = socket(Ipv4Addr::LOCALHOST).await;
        for number in 0..100 {
            forger.send_to(&[&header[..], &ping(number)].concat(), server).await.unwrap();
        }
        forger.send_to(&ping(200), server).await.unwrap();
        assert_eq!(pong(&hear(&forger).await), (200, forger.local_addr().unwrap()));
        // From a proxy the same header counts, and none does not; what it asks comes back to it.
        let proxy = socket(END).await;
        if protocol == Spp {
            proxy.send_to(&ping(201), server).await.unwrap();
        }
        proxy.send_to(&[&header[..], &ping(202)].concat(), server).await.unwrap();
        let answer = hear(&proxy).await;
        let answer = if protocol == Spp { answer.strip_prefix(&header[..]).unwrap() } else { &answer[..] };
        assert_eq!(pong(answer), (202, victim));

        // Once more, so that all is counted that was before.
        forger.send_to(&ping(203), server).await.unwrap();
        hear(&forger).await;
        let stats = stats.snapshot();
        let refused = |reason| stats.transport.refused_headers.of(reason);
        assert_eq!(
            (refused(Refusal::Untrusted), refused(Refusal::Missing)),
            (100, u64::from(protocol == Spp))
        );
        assert_eq!(stats.transport.refused_headers.total(), 100 + u64::from(protocol == Spp));
        assert!(stats.counters.datagrams_in <= 3, "the engine has seen what was refused");
    }
}

#[tokio::test]
async fn client_that_puts_a_header_before_its_own_datagram_gets_nothing_more() {
    let (port, stats) = server(V2);
    let proxy = Proxy::start(V2, port, END, &[]);
    // One names somebody else, one another proxy, which is what a signature names.
    let itself = Ipv4Addr::new(127, 0, 0, 7);
    for client in [None, Some(itself)] {
        let forger = socket(itself).await;
        forger.send_to(&ping(1), proxy.address).await.unwrap();
        let own = forger.local_addr().unwrap();
        assert_eq!(pong(&hear(&forger).await), (1, own));
        let port = client.map_or(9, |_| own.port()).to_be_bytes();
        let client = client.unwrap_or(Ipv4Addr::new(127, 0, 0, 9)).octets();
        let header =
            [&v2::SIGNATURE[..], b"\x21\x12\0\x0C", &client, b"\x7F\0\0\x05", &port, b"\x04\x2A"].concat();
        for datagram in [&[&header[..], &ping(2)].concat(), &ping(3)] {
            forger.send_to(datagram, proxy.address).await.unwrap();
        }
    }
    let other = socket(Ipv4Addr::LOCALHOST).await;
    // What the proxy passes on later is handled later.
    other.send_to(&ping(4), proxy.address).await.unwrap();
    assert_eq!(pong(&hear(&other).await), (4, other.local_addr().unwrap()));
    let stats = stats.snapshot();
    assert_eq!(stats.transport.refused_headers.of(Refusal::Disputed), 4);
    assert_eq!((stats.counters.datagrams_in, stats.counters.datagrams_out), (3, 3));
    proxy.stop();
}

#[tokio::test]
async fn without_the_key_headers_are_junk() {
    let (server, stats) = crate::rig::serve(&crate::rig::local());
    let proxy = socket(END).await;
    let header = spp::Header { client: "127.0.0.9:9".parse().unwrap(), proxy: server }.to_bytes();
    proxy.send_to(&[&header[..], &ping(1)].concat(), server).await.unwrap();
    proxy.send_to(&ping(2), server).await.unwrap();
    assert_eq!(pong(&hear(&proxy).await), (2, proxy.local_addr().unwrap()));
    assert_eq!(stats.snapshot().transport.refused_headers.total(), 0);
}

#[tokio::test]
async fn stun_through_a_proxy_tells_the_true_address() {
    for protocol in [Spp, V2] {
        let (port, _) = server(protocol);
        let proxy = Proxy::start(protocol, port, END, &[]);
        let client = socket(Ipv4Addr::new(127, 0, 0, 7)).await;
        client.send_to(b"\0\x01\0\0\x21\x12\xA4\x42twelve bytes", proxy.address).await.unwrap();
        let answer = hear(&client).await;
        let port = client.local_addr().unwrap().port() ^ 0x2112;
        let ip = u32::from_be_bytes([127, 0, 0, 7]) ^ 0x2112_A442;
        assert_eq!(answer[24..], [&[0, 1][..], &port.to_be_bytes(), &ip.to_be_bytes()].concat());
        proxy.stop();
    }
}
