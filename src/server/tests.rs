use roundtable_proto::wire::{
    self, Address, Cookie, Frame, Keepalive, PeerId, Register, Session, Signature, Ticket, TransactionId,
};
use tokio::net::UdpSocket;

use super::*;

async fn ask(client: &UdpSocket, server: &mut Server, frame: &Frame<'_>) -> Vec<u8> {
    client.send_to(&frame.to_vec(), server.address).await.unwrap();
    hear(client, server).await
}

/// Lets the server run until the client has got an answer.
async fn hear(client: &UdpSocket, server: &mut Server) -> Vec<u8> {
    let mut buffer = [0; wire::DATAGRAM_MAX];
    let never = pin!(std::future::pending());
    tokio::select! {
        ended = server.serve(never) => panic!("{ended:?}"),
        received = client.recv(&mut buffer) => buffer[..received.unwrap()].to_vec(),
    }
}

#[tokio::test]
async fn keepalives_that_waited_while_the_process_was_suspended_are_heard_before_silence_is_judged() {
    let localaddress = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let mut server = Server::bind(&Config { localport: 0, localaddress, ..Config::default() }).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let transaction = TransactionId([7; 16]);
    let mut register = Register {
        session: Session::NONE,
        transaction,
        identifier: PeerId::plain([1; 16]).unwrap(),
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    };
    let bytes = ask(&client, &mut server, &Frame::Register(register)).await;
    let Ok(Frame::Challenge(challenge)) = wire::decode(&bytes) else { panic!("{bytes:?}") };
    register.cookie = challenge.cookie;
    let bytes = ask(&client, &mut server, &Frame::Register(register)).await;
    let Ok(Frame::Registered(registered)) = wire::decode(&bytes) else { panic!("{bytes:?}") };

    // The loop does not turn; five minutes pass.
    let keepalive = Keepalive { session: registered.session, transaction, observed: Address::NONE };
    client.send_to(&Frame::Keepalive(keepalive).to_vec(), server.address).await.unwrap();
    server.clock.skip(Duration::from_secs(300));
    let bytes = hear(&client, &mut server).await;
    assert!(matches!(wire::decode(&bytes), Ok(Frame::KeepaliveReply(_))), "{:?}", wire::decode(&bytes));
    assert_eq!(server.engine.peers(), 1);
}

/// Asks for a session of plain identifier 1 with this cookie.
fn asking(cookie: Cookie) -> Frame<'static> {
    Frame::Register(Register {
        session: Session::NONE,
        transaction: TransactionId([7; 16]),
        identifier: PeerId::plain([1; 16]).unwrap(),
        cookie,
        ticket: Ticket::NONE,
        server: Address::NONE,
        signature: Signature::NONE,
    })
}

#[tokio::test]
async fn servers_with_one_secret_file_take_each_others_cookies() {
    let place = tempfile::tempdir().unwrap();
    let localaddress = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let with = |secretfile| Config { localport: 0, localaddress, secretfile, ..Config::default() };
    let shared = with(Some(place.path().join("secret")));
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut one = Server::bind(&shared).unwrap();
    let bytes = ask(&client, &mut one, &asking(Cookie::NONE)).await;
    let Ok(Frame::Challenge(challenge)) = wire::decode(&bytes) else { panic!("{bytes:?}") };
    drop(one);
    for (config, is_taken) in [(shared, true), (with(None), false)] {
        let mut other = Server::bind(&config).unwrap();
        let bytes = ask(&client, &mut other, &asking(challenge.cookie)).await;
        assert_eq!(matches!(wire::decode(&bytes), Ok(Frame::Registered(_))), is_taken);
    }
}

#[tokio::test]
async fn empty_datagram_is_counted_as_none_of_ours() {
    let localaddress = Some(std::net::Ipv4Addr::LOCALHOST.into());
    let mut server = Server::bind(&Config { localport: 0, localaddress, ..Config::default() }).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&[], server.address).await.unwrap();
    ask(&client, &mut server, &asking(Cookie::NONE)).await;
    let counters = server.engine.counters();
    assert_eq!((counters.datagrams_in, counters.dropped(engine::DropReason::NotOurs)), (2, 1));
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn address_that_is_asked_first_under_flood_has_the_kernel_shed_there_too() {
    let mut server = Server::bind(&Config { localport: 0, ..Config::default() }).unwrap();
    let (port, marker) = (server.address.port(), server.engine.marker());
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let shedder = server.shedder.as_mut().unwrap();
    assert!(shedder.handle_saturation(server.clock.now(), |_| std::iter::empty()));
    // The kernel has not been told, so that what is sent arrives for sure.
    client.send_to(&asking(Cookie::NONE).to_vec(), (std::net::Ipv4Addr::LOCALHOST, port)).await.unwrap();
    hear(&client, &mut server).await;
    server.socket.shed(&Orders::default(), server.beside, &marker).expect("one of the sockets sheds nothing");
}

#[tokio::test]
async fn one_address_that_never_rests_does_not_keep_the_others_waiting() {
    let mut server = Server::bind(&Config { localport: 0, ..Config::default() }).unwrap();
    let port = server.address.port();
    let busy = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let quiet = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // A socket for each of the two addresses.
    for (client, host) in [(&busy, "127.0.0.1"), (&quiet, "127.0.0.2")] {
        client.send_to(&asking(Cookie::NONE).to_vec(), (host, port)).await.unwrap();
        hear(client, &mut server).await;
    }
    let before = server.engine.counters().datagrams_in;
    for _ in 0..20 * DRAIN_MAX * 32 {
        busy.try_send_to(b"noise", (std::net::Ipv4Addr::LOCALHOST, port).into()).unwrap();
    }
    quiet.send_to(&asking(Cookie::NONE).to_vec(), ("127.0.0.2", port)).await.unwrap();
    hear(&quiet, &mut server).await;
    let handled = server.engine.counters().datagrams_in - before;
    assert!(handled <= 3 * DRAIN_MAX as u64 * 32, "{handled} datagrams of another address came first");
}
