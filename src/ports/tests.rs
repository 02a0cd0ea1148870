use std::net::UdpSocket;
use std::time::Duration;

use roundtable_proto::server::{Config, Server};
use roundtable_proto::{Instant, Seed};

use super::*;

#[tokio::test]
async fn one_place_without_a_filter_does_not_keep_the_next_from_getting_rid_of_its_own() {
    let further = Further { port: Some(0), address: None };
    let ports = Ports::bind(Some(std::net::Ipv4Addr::LOCALHOST.into()), 0, further).unwrap();
    let [first, second] = &ports.places[..] else { panic!("not two places") };
    let marker = Server::new(Instant::from_micros(0), Config::default(), Seed::from_number(1)).marker();
    let (nothing, beside) = (Orders::default(), Beside::default());
    let some = Orders { level: crate::filter::Level::LEAST, ..Orders::default() };
    second.shed(&some, beside, &marker).unwrap();
    ports.shed(&nothing, beside, &marker).unwrap_err();
    for place in [first, second] {
        place.shed(&nothing, beside, &marker).expect_err("a filter is left");
    }
}

/// Waits for a datagram, and gives where it came from as the sockets see it, and what it is.
async fn hear(ports: &mut Ports) -> (Path, Vec<u8>) {
    let mut arrivals = Arrivals::new();
    loop {
        ports.readable().await.unwrap();
        if ports.receive(&mut arrivals).is_ok() {
            let (path, mut datagrams) = ports.train(&arrivals, 0);
            return (path, datagrams.next().unwrap().to_vec());
        }
    }
}

/// Asks at 127.0.0.`host`, and has the answer come from there.
async fn ask(ports: &mut Ports, client: &UdpSocket, host: u8) -> Path {
    let asked = SocketAddr::from(([127, 0, 0, host], ports.local_addr().unwrap().port()));
    client.send_to(&[host], asked).unwrap();
    let (path, datagram) = hear(ports).await;
    assert_eq!(datagram, [host]);
    while ports.poll_local().is_some() {}
    ports.send([Transmit { path, contents: &[host], segment_size: 1 }].into_iter(), |_, error| {
        panic!("{error}")
    });
    let mut answer = [0; 8];
    let (length, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!((&answer[..length], from), (&[host][..], asked));
    path
}

fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client
}

#[tokio::test]
async fn addresses_that_are_asked_get_a_socket_each_and_keep_their_way() {
    let mut ports = Ports::bind(None, 0, Further::default()).unwrap();
    let client = client();
    let mut ways = Vec::new();
    for host in 1..=10 {
        ways.push(ask(&mut ports, &client, host).await.via);
    }
    assert_eq!(ports.branches.len(), BRANCHES_MAX);
    assert_eq!(ports.queues().0.lock().open.len(), 1 + BRANCHES_MAX);
    for (host, via) in (1..=10).zip(ways) {
        let again = ask(&mut ports, &client, host).await;
        assert_eq!(again, Path { remote: client.local_addr().unwrap(), via }, "127.0.0.{host}");
    }
}

#[tokio::test]
async fn what_is_sent_to_many_hosts_comes_once() {
    let mut ports = Ports::bind(None, 0, Further::default()).unwrap();
    let (client, port) = (client(), ports.local_addr().unwrap().port());
    client.set_broadcast(true).unwrap();
    // The first might make a branch, and the second come to both.
    for number in 0..2 {
        client.send_to(&[number], ("127.255.255.255", port)).unwrap();
        assert_eq!(hear(&mut ports).await.1, [number]);
        while ports.poll_local().is_some() {}
    }
    let again = ports.receive(&mut Arrivals::new());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(ports.branches.is_empty());
}

#[tokio::test]
async fn nobody_gets_in_beside_a_branch_that_is_open() {
    let mut ports = Ports::bind(None, 0, Further::default()).unwrap();
    let address = ports.local_addr().unwrap();
    ask(&mut ports, &client(), 1).await;
    assert_eq!(ports.branches.len(), 1);
    for ip in [address.ip(), std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv4Addr::UNSPECIFIED.into()] {
        let at = SocketAddr::new(ip, address.port());
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(at), socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_reuse_address(true).unwrap();
        assert_eq!(socket.bind(&at.into()).unwrap_err().kind(), io::ErrorKind::AddrInUse, "{at}");
    }
}

#[tokio::test]
async fn branches_shed_with_their_places() {
    let mut ports = Ports::bind(None, 0, Further::default()).unwrap();
    ask(&mut ports, &client(), 1).await;
    let marker = Server::new(Instant::from_micros(0), Config::default(), Seed::from_number(1)).marker();
    let some = Orders { level: crate::filter::Level::LEAST, ..Orders::default() };
    ports.shed(&some, Beside::default(), &marker).unwrap();
    for socket in ports.sockets() {
        socket.shed(&Orders::default(), Beside::default(), &marker).expect("no filter is there");
    }
}

#[tokio::test]
async fn what_was_dropped_at_a_branch_that_is_closed_still_counts() {
    let mut ports = Ports::bind(None, 0, Further::default()).unwrap();
    let client = client();
    ask(&mut ports, &client, 1).await;
    let queues = ports.queues();
    let dropped = || queues.drops().unwrap().in_all();
    let (at, port) = (std::net::Ipv4Addr::LOCALHOST, ports.local_addr().unwrap().port());
    // More than one queue holds.
    let most = ports.receive_buffer() / 500;
    for _ in 0..most {
        client.send_to(&[0; 1000], (at, port)).unwrap();
    }
    let before = dropped();
    assert!(before > 0);
    let (_, branch) = ports.branches.pop().unwrap();
    queues.close(branch.queue());
    drop(branch);
    assert_eq!(dropped(), before);
}

#[tokio::test]
async fn one_datagram_that_cannot_leave_keeps_none_of_the_others() {
    for address in [None, Some(std::net::Ipv4Addr::LOCALHOST.into())] {
        let mut ports = Ports::bind(address, 0, Further::default()).unwrap();
        let client = client();
        let path = ask(&mut ports, &client, 1).await;
        let port_of_none = Path { remote: SocketAddr::new(path.remote.ip(), 0), ..path };
        let unreachable = Path { remote: "192.0.2.1:9".parse().unwrap(), ..path };
        let paths = [path, port_of_none, path, path, unreachable, path, port_of_none];
        let number: Vec<u8> = (0..).take(paths.len()).collect();
        let transmits = paths.into_iter().zip(number.chunks(1));
        let transmits = transmits.map(|(path, contents)| Transmit { path, contents, segment_size: 1 });
        let mut failed = Vec::new();
        ports.send(transmits, |transmit, _| failed.push(transmit.contents[0]));
        assert_eq!(failed, [1, 4, 6]);
        let mut heard = [0; 4];
        for place in &mut heard {
            client.recv(std::slice::from_mut(place)).unwrap();
        }
        assert_eq!(heard, [0, 2, 3, 5]);
    }
}
