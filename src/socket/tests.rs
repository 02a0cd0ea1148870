use roundtable_proto::server::Transmit;

use tokio::net::UdpSocket;

use super::*;

#[tokio::test]
async fn datagrams_are_answered_from_the_address_that_was_asked() {
    let mut server = Socket::bind(None, 0).unwrap();
    let port = server.local_addr().unwrap().port();
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for asked in ["127.0.0.1", "127.0.0.9", "127.5.5.5"] {
        client.send_to(b"question", (asked, port)).await.unwrap();
        let mut arrivals = Arrivals::new();
        loop {
            server.readable().await.unwrap();
            if server.receive(&mut arrivals).is_ok() {
                break;
            }
        }
        let (path, _) = server.train(&arrivals, 0);
        server.send(&Transmit { path, contents: b"answer", segment_size: 6 }).unwrap();
        let mut answer = [0; 16];
        let (length, from) = client.recv_from(&mut answer).await.unwrap();
        assert_eq!((&answer[..length], from), (&b"answer"[..], format!("{asked}:{port}").parse().unwrap()));
    }
}

#[tokio::test]
async fn both_families_are_served_by_one_socket() {
    let mut server = Socket::bind(None, 0).unwrap();
    let to = server.local_addr().unwrap();
    if !to.is_ipv6() {
        return;
    }
    let client = UdpSocket::bind("[::1]:0").await.unwrap();
    client.send_to(b"question", (Ipv6Addr::LOCALHOST, to.port())).await.unwrap();
    server.readable().await.unwrap();
    let mut arrivals = Arrivals::new();
    server.receive(&mut arrivals).unwrap();
    assert_eq!(arrivals.trains(), 1);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn drops_of_a_full_queue_are_read_from_the_kernel() {
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let Ok(socket) = Socket::bind(Some(address), 0) else { continue };
        socket2::SockRef::from(&socket.io).set_recv_buffer_size(1).unwrap();
        let queue = socket.queue().unwrap();
        assert_eq!(Queue::drops(&[queue], 0).unwrap().in_all(), 0);
        let client = std::net::UdpSocket::bind((address, 0)).unwrap();
        let mut sent: u64 = 0;
        while Queue::drops(&[queue], 0).unwrap().full == 0 {
            client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
            sent += 1;
            assert!(sent < 1000, "a queue of the smallest size takes them all");
        }
        assert!((1..=sent).contains(&Queue::drops(&[queue], 0).unwrap().full));
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn queue_is_crowded_from_a_quarter_of_what_was_granted() {
    let socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let fill = |share: u32| {
        let backlog = || crate::kernel::backlog(std::os::fd::AsFd::as_fd(&socket.io)).unwrap();
        while backlog().used * 100 < backlog().granted / 100 * share * 100 {
            client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        }
    };
    assert!(!socket.is_crowded());
    fill(20);
    assert!(!socket.is_crowded());
    fill(30);
    assert!(socket.is_crowded());
}

#[tokio::test]
async fn impossible_destination_does_not_end_the_sending_of_trains() {
    let mut socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let before = socket.state.max_gso_segments();
    // Port 0, and a host that cannot be reached from loopback: EINVAL from the kernel.
    for remote in ["127.0.0.1:0", "192.0.2.1:9"] {
        let path = Path { remote: remote.parse().unwrap(), via: Via::default() };
        for contents in [&b"answer"[..], b"answeranswer"] {
            socket.send(&Transmit { path, contents, segment_size: 6 }).unwrap_err();
            assert_eq!(socket.state.max_gso_segments(), before, "{} bytes to {remote}", contents.len());
        }
    }
}

#[tokio::test]
async fn local_addresses_are_bounded() {
    let mut socket = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    for number in 0..u32::try_from(LOCAL_ADDRESSES_MAX).unwrap() {
        assert_ne!(socket.via(Some(Ipv4Addr::from_bits(number).into())), Via::default());
    }
    assert_eq!(socket.via(Some(Ipv4Addr::from_bits(u32::MAX).into())), Via::default());
    assert_eq!(socket.locals.len(), LOCAL_ADDRESSES_MAX);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn drops_of_several_queues_are_counted_once() {
    let sockets = [(); 3].map(|()| Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap());
    let queues = sockets.each_ref().map(|socket| socket.queue().unwrap());
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in &sockets {
        socket2::SockRef::from(&socket.io).set_recv_buffer_size(1).unwrap();
        for _ in 0..100 {
            client.send_to(&[0; 1000], socket.local_addr().unwrap()).unwrap();
        }
    }
    let each: u64 = queues.iter().map(|queue| Queue::drops(&[*queue], 0).unwrap().in_all()).sum();
    let all = Queue::drops(&queues, 0).unwrap();
    assert_eq!((all.full, all.filtered), (each, 0));
}

/// Tells whether something can be received, as far as the runtime has been told.
fn is_readable(socket: &Socket) -> bool {
    let mut context = Context::from_waker(std::task::Waker::noop());
    socket.poll_readable(&mut context).is_ready()
}

#[tokio::test]
async fn busy_socket_is_not_waited_for_until_it_is_empty() {
    let mut server = Socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr().unwrap()).unwrap();
    let mut arrivals = Arrivals::new();
    for round in 0..3 {
        for received in 1..watch::BUSY + 4 {
            client.send(b"question").unwrap();
            server.readable().await.unwrap();
            server.receive(&mut arrivals).unwrap();
            assert_eq!(server.watch.is_waiting(), received < watch::BUSY, "round {round}, {received}");
        }
        assert!(is_readable(&server), "one that is busy is asked");
        let empty = server.receive(&mut arrivals).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert!(server.watch.is_waiting());
        // The runtime takes a new socket for readable until it has been asked.
        let _empty = server.receive(&mut arrivals).unwrap_err();
        assert!(!is_readable(&server), "round {round}");
        client.send(b"question").unwrap();
        server.readable().await.unwrap();
        server.receive(&mut arrivals).unwrap();
        let _empty = server.receive(&mut arrivals).unwrap_err();
    }
}
