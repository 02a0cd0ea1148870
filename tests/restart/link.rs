//! A link between one client and the server, that can be cut after so many datagrams of a kind.

use std::net::{Ipv4Addr, SocketAddr};

use roundtable_signalling::proto::wire::{self, Kind};
use tokio::net::UdpSocket;
use tokio::sync::watch;

/// Where the number of the kind stands in a datagram. SPEC 2
const KIND_AT: usize = 3;

/// One link.
pub(crate) struct Link {
    /// What the client takes for the server.
    pub(crate) address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Link {
    /// Carries everything, until as many datagrams of that kind have passed towards the server as `cut` says.
    pub(crate) async fn start(server: SocketAddr, cut: Option<(Kind, usize)>) -> Self {
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = near.local_addr().unwrap();
        let state = watch::Sender::new(false);
        tokio::spawn(carry(near, far, server, cut, state.clone()));
        Self { address, cut: state }
    }

    /// Waits until nothing passes any more.
    pub(crate) async fn is_cut(&self) {
        self.cut.subscribe().wait_for(|is_cut| *is_cut).await.unwrap();
    }

    /// Carries everything from now on.
    pub(crate) fn resume(&self) {
        self.cut.send_replace(false);
    }
}

async fn carry(
    near: UdpSocket,
    far: UdpSocket,
    server: SocketAddr,
    mut cut: Option<(Kind, usize)>,
    is_cut: watch::Sender<bool>,
) {
    let mut client = None;
    let (mut to_server, mut to_client) = ([0; wire::DATAGRAM_MAX], [0; wire::DATAGRAM_MAX]);
    loop {
        tokio::select! {
            Ok((length, from)) = near.recv_from(&mut to_server) => {
                client = Some(from);
                if *is_cut.borrow() {
                    continue;
                }
                far.send_to(&to_server[..length], server).await.unwrap();
                if let Some((kind, left)) = &mut cut
                    && kind.number() == to_server[KIND_AT]
                {
                    *left -= 1;
                    if *left == 0 {
                        cut = None;
                        is_cut.send_replace(true);
                    }
                }
            }
            Ok((length, _)) = far.recv_from(&mut to_client) => {
                if let Some(client) = client.filter(|_| !*is_cut.borrow()) {
                    near.send_to(&to_client[..length], client).await.unwrap();
                }
            }
        }
    }
}
