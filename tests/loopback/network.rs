//! Sockets: shared with media, of both families, moved, let go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use roundtable_signalling::client::{Client, Media, Options, Registration};
use roundtable_signalling::config::Config;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::rig::{Peer, exchange, identifier, local, pair, reached_by, serve, socket, within};

/// Whether this host has IPv6; says so where it has not.
async fn has_ipv6() -> bool {
    let has = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok();
    if !has {
        println!("SKIPPED: this host has no IPv6 loopback");
    }
    has
}

/// A peer on a shared socket, and what reaches its application there.
async fn sharing(
    server: SocketAddr,
    number: u8,
    ip: Ipv4Addr,
) -> (Peer, Arc<UdpSocket>, mpsc::Receiver<Media>) {
    let shared = socket(ip).await;
    let (media, heard) = mpsc::channel(64);
    let options = Options {
        socket: Some(Arc::clone(&shared)),
        media: Some(media),
        ..Options::new(server, identifier(number))
    };
    (Peer::start(options).await, shared, heard)
}

#[tokio::test]
async fn media_shares_the_socket_and_signalling_stays_out_of_it() {
    let (server, _) = serve(&local());
    let (one, one_socket, mut one_hears) = sharing(server, 1, Ipv4Addr::LOCALHOST).await;
    let (mut two, two_socket, mut two_hears) = sharing(server, 2, Ipv4Addr::LOCALHOST).await;
    assert_eq!(one.client.local_addr(), one_socket.local_addr().unwrap());
    let (mut call, mut ringing) = exchange(&one, &mut two, vec![1; 5000], "answer").await;
    let (ours, theirs) = within(async { tokio::join!(call.punch(), ringing.call().path()) }).await;
    let (to_two, to_one) = (ours.unwrap().peer, theirs.unwrap().peer);

    // An RTP packet, a STUN message, one byte, nothing, and more than a frame may have.
    let rtp: &[u8] = &[0x80, 0x6F, 0, 1, 0, 0, 0, 0xA0, 1, 2, 3, 4];
    let media: [&[u8]; 5] = [rtp, &[0, 1, 0, 0], &[0x52], &[], &[0x90; 9000]];
    for packet in media {
        one_socket.send_to(packet, to_two).await.unwrap();
        assert_eq!(within(two_hears.recv()).await.unwrap(), (one.observed, Bytes::from_static(packet)));
        two_socket.send_to(packet, to_one).await.unwrap();
        assert_eq!(within(one_hears.recv()).await.unwrap(), (two.observed, Bytes::from_static(packet)));
    }
    // Had a frame been among it, it would have come before, or does before the last of these.
    exchange(&one, &mut two, "offer", "answer").await;
    one_socket.send_to(rtp, to_two).await.unwrap();
    assert_eq!(within(two_hears.recv()).await.unwrap().1, rtp);
    assert!(one_hears.try_recv().is_err());
}

#[tokio::test]
async fn media_that_nobody_takes_holds_nothing_up() {
    let (server, _) = serve(&local());
    let (mut one, _, _heard) = sharing(server, 1, Ipv4Addr::LOCALHOST).await;
    let flood = socket(Ipv4Addr::LOCALHOST).await;
    for _ in 0..500 {
        flood.send_to(b"\x80media", one.observed).await.unwrap();
    }
    let two = Peer::join(server, 2).await;
    exchange(&two, &mut one, "offer", "answer").await;
}

#[tokio::test]
async fn peers_meet_over_ipv6() {
    if !has_ipv6().await {
        return;
    }
    let (server, _) = serve(&Config { localaddress: Some(Ipv6Addr::LOCALHOST.into()), ..local() });
    let (one, mut two) = pair(server).await;
    assert_eq!(one.observed.ip(), Ipv6Addr::LOCALHOST);
    let blob = Bytes::from(vec![6; 20_000]);
    let (mut call, mut ringing) = exchange(&one, &mut two, blob.clone(), blob.clone()).await;
    let (ours, theirs) = within(async { tokio::join!(call.punch(), ringing.call().path()) }).await;
    // A host that has an address of a local network is met there: that comes before what the server has seen. The socket is
    // the same.
    let own = own_addresses();
    for (path, peer) in [(ours.unwrap().peer, two.observed), (theirs.unwrap().peer, one.observed)] {
        assert!(path.is_ipv6() && own.contains(&path.ip()), "{path} is none of {own:?}");
        assert_eq!(path.port(), peer.port());
    }
}

/// The addresses of this host's interfaces.
fn own_addresses() -> Vec<IpAddr> {
    let addresses = nix::ifaddrs::getifaddrs().unwrap().filter_map(|interface| interface.address);
    let ips = addresses.filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
    });
    ips.collect()
}

#[tokio::test]
async fn families_meet_at_a_dual_stack_server() {
    if !has_ipv6().await {
        return;
    }
    let (server, _) = serve(&Config { localaddress: None, ..local() });
    let one = Peer::join(reached_by(server, Ipv4Addr::LOCALHOST), 1).await;
    let mut two = Peer::join(reached_by(server, Ipv6Addr::LOCALHOST), 2).await;
    assert_eq!(one.observed.ip(), Ipv4Addr::LOCALHOST);
    assert_eq!(two.observed.ip(), Ipv6Addr::LOCALHOST);
    exchange(&one, &mut two, "offer", "answer").await;
}

#[tokio::test]
async fn ipv4_is_shown_as_ipv4_over_dual_stack_sockets_too() {
    if !has_ipv6().await {
        return;
    }
    let (server, _) = serve(&Config { localaddress: None, ..local() });
    let written = [Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()];
    let [plain, mapped] = written.map(|ip| SocketAddr::new(ip, server.port()));
    let dual = socket(Ipv6Addr::UNSPECIFIED).await;
    let options = Options { socket: Some(dual), ..Options::new(plain, identifier(1)) };
    let one = Peer::start(options).await;
    let mut two = Peer::join(mapped, 2).await;
    for peer in [&one, &two] {
        assert_eq!(peer.observed, reached_by(peer.client.local_addr(), Ipv4Addr::LOCALHOST));
    }
    let (mut call, mut ringing) = exchange(&one, &mut two, "offer", "answer").await;
    let (ours, theirs) = within(async { tokio::join!(call.punch(), ringing.call().path()) }).await;
    assert_eq!((ours.unwrap().peer, theirs.unwrap().peer), (two.observed, one.observed));
}

#[tokio::test]
async fn two_servers_in_one_process_do_not_know_each_others_peers() {
    let ((first, _), (second, _)) = (serve(&local()), serve(&local()));
    // The same identifiers at both.
    let (one, mut two) = pair(first).await;
    let (mut same_one, same_two) = pair(second).await;
    let (first, second) = within(async {
        tokio::join!(
            exchange(&one, &mut two, "at the first", "one"),
            exchange(&same_two, &mut same_one, "at the second", "two"),
        )
    })
    .await;
    assert_ne!(first.0.id(), second.0.id());
}

#[tokio::test]
async fn moved_client_is_known_at_its_new_address_and_its_call_goes_on() {
    let (server, stats) = serve(&local());
    let (one, mut two) = pair(server).await;
    let mut call = one.call(&two, vec![3; 30_000]).await;
    let mut ringing = two.accept().await;
    for moved in [&one, &two] {
        let elsewhere = socket(Ipv4Addr::LOCALHOST).await;
        let address = elsewhere.local_addr().unwrap();
        moved.client.move_to(elsewhere).await.unwrap();
        assert_eq!(moved.client.local_addr(), address);
        assert_eq!(within(moved.client.registered()).await, Ok(address));
    }
    let answer = Bytes::from(vec![4; 30_000]);
    let (delivered, answered) =
        within(async { tokio::join!(ringing.answer(answer.clone()), call.answered()) }).await;
    delivered.unwrap();
    let answered = answered.unwrap();
    assert_eq!(answered.observed, Some(two.client.local_addr()));
    assert!(answered.blob == answer);
    // Where they were before, others may be now.
    UdpSocket::bind(("127.0.0.1", one.observed.port())).await.unwrap();
    assert_eq!(stats.snapshot().peers, 2);
}

#[tokio::test]
async fn client_told_of_a_change_proves_its_address_again() {
    let (server, stats) = serve(&local());
    let one = Peer::join(server, 1).await;
    one.client.network_changed().await.unwrap();
    assert_eq!(one.client.registration(), Registration::Asking);
    assert_eq!(within(one.client.registered()).await, Ok(one.observed));
    assert_eq!(stats.snapshot().peers, 1);
}

#[tokio::test]
async fn dropped_client_frees_its_socket_and_its_identifier() {
    let (server, _) = serve(&local());
    let (one, mut two) = pair(server).await;
    let (call, _ringing) = exchange(&one, &mut two, "offer", "answer").await;
    let Peer { client, mut incoming, observed, .. } = one;
    drop(client);
    // The call is a handle too.
    drop(call);
    assert!(within(incoming.accept()).await.is_none());
    UdpSocket::bind(("0.0.0.0", observed.port())).await.unwrap();
    // From another address, while the old registration would have lived for a minute.
    Peer::join(server, 1).await;
}

#[tokio::test]
async fn pings_at_once_are_all_answered() {
    let (server, _) = serve(&local());
    let (client, _incoming) = Client::start(Options::new(server, identifier(1))).await.unwrap();
    let (one, another) = within(async { tokio::join!(client.ping(), client.ping()) }).await;
    let port = client.local_addr().port();
    assert_eq!((one.unwrap().observed.port(), another.unwrap().observed.port()), (port, port));
}

#[tokio::test]
async fn registration_that_was_seen_is_no_change() {
    let (server, _) = serve(&local());
    let mut client = Peer::join(server, 1).await.client;
    assert!(matches!(client.see_registration(), Registration::Registered { .. }));
    tokio::select! {
        biased;
        change = client.registration_changed() => panic!("{change:?}"),
        () = std::future::ready(()) => {}
    }
    within(client.unregister()).await.unwrap();
    assert_eq!(within(client.registration_changed()).await, Ok(Registration::Unregistered));
}
