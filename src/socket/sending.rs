//! What leaves a socket: trains, and single datagrams of which many leave in one call. Nothing here waits: where the kernel has
//! no room, datagrams are lost as on any busy link.

use std::io;
use std::net::{IpAddr, SocketAddr};

use roundtable_proto::server::Transmit;

use super::{Socket, state_of};

impl Socket {
    /// Tells whether a train leaves without control messages: it is one datagram, and there is no source to choose.
    pub(crate) const fn is_plain(&self, transmit: &Transmit<'_>) -> bool {
        self.has_one_address && transmit.contents.len() <= transmit.segment_size
    }

    /// Sends a train.
    pub(crate) fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Whoever names it as his source names nobody. The kernel would say EINVAL.
        if transmit.path.remote.port() == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.is_plain(transmit) {
            let destination = self.destination(transmit.path.remote).into();
            return socket2::SockRef::from(&self.io).send_to(transmit.contents, &destination).map(drop);
        }
        let most = self.state.max_gso_segments();
        let mut sent = self.send_parts(transmit);
        // quinn-udp takes EINVAL for a link that cannot cut trains and cuts them itself from then on.
        if transmit.contents.len() > transmit.segment_size && self.state.max_gso_segments() < most {
            sent = self.send_parts(transmit);
        }
        // Where one datagram alone is refused, a route or an address is missing, and that heals.
        if sent.is_err() && self.state.max_gso_segments() < self.train_max {
            self.state = state_of(&self.io, self.has_one_address)?;
        }
        sent
    }

    fn send_parts(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let longest = self.state.max_gso_segments().max(1) * transmit.segment_size;
        for contents in transmit.contents.chunks(longest) {
            let transmit = quinn_udp::Transmit {
                destination: self.destination(transmit.path.remote),
                ecn: None,
                contents,
                segment_size: (contents.len() > transmit.segment_size).then_some(transmit.segment_size),
                src_ip: self.source(transmit.path.via),
            };
            self.state.try_send((&self.io).into(), &transmit)?;
        }
        Ok(())
    }

    /// Sends datagrams of which each [is plain](Self::is_plain), in as few calls as there can be, and tells `failed` which
    /// could not be sent.
    pub(crate) fn send_all<'a>(
        &mut self,
        transmits: &[Transmit<'a>],
        mut failed: impl FnMut(&Transmit<'a>, &io::Error),
    ) {
        let mut rest = transmits;
        while let [first, others @ ..] = rest {
            rest = match self.send_some(rest) {
                Ok(count) => &rest[count..],
                Err(error) => {
                    failed(first, &error);
                    others
                }
            };
        }
    }

    /// Sends as many of the first as one call takes, and tells how many.
    #[cfg(target_os = "linux")]
    fn send_some(&mut self, transmits: &[Transmit<'_>]) -> io::Result<usize> {
        use std::os::fd::AsFd;

        if let [one] = transmits {
            return self.send(one).map(|()| 1);
        }
        let addressed = transmits.iter().map(|one| (self.destination(one.path.remote).into(), one.contents));
        crate::kernel::send(self.io.as_fd(), addressed)
    }

    /// Elsewhere one call takes one.
    #[cfg(not(target_os = "linux"))]
    fn send_some(&mut self, transmits: &[Transmit<'_>]) -> io::Result<usize> {
        transmits.first().map_or(Ok(0), |one| self.send(one).map(|()| 1))
    }

    /// An IPv6 socket wants IPv4 addresses mapped.
    const fn destination(&self, remote: SocketAddr) -> SocketAddr {
        match remote {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => remote,
        }
    }
}
