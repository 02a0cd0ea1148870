//! A server on a host of its own and a client on this one, with one link between.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roundtable_signalling::proto::wire::{
    self, Address, Cookie, Frame, Keepalive, PeerId, Ping, Register, Session, Signature, Ticket,
    TransactionId, Zeros,
};
use tempfile::TempDir;

use crate::lab::{self, End};
use crate::program::{self, Running};

pub(crate) const PORT: u16 = 1066;
pub(crate) const SERVER: [&str; 2] = ["192.0.2.1:1066", "[2001:db8:a::1]:1066"];
/// Longest wait for an answer: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this the question is put again.
const REPEAT: Duration = Duration::from_millis(200);

/// A server at the other end of a link.
pub(crate) struct Rig {
    pub(crate) program: Running,
    _directory: TempDir,
}

impl Rig {
    /// Makes host and link and starts the server, with further lines for its configuration. In a lab only.
    pub(crate) fn start(further: &str) -> Self {
        lab::add_host("server");
        let (mac, v4, v6) = ("02:00:00:00:0a:02", "192.0.2.2/24", "2001:db8:a::2/64");
        let here = End { host: None, interface: "c0", mac, v4, v6 };
        let (mac, v4, v6) = ("02:00:00:00:0a:01", "192.0.2.1/24", "2001:db8:a::1/64");
        lab::add_link(&here, &End { host: Some("server"), interface: "s0", mac, v4, v6 });
        lab::on("server", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
        let directory = tempfile::tempdir().unwrap();
        let file = configuration(directory.path(), &format!("localport: {PORT}\nloglevel: debug\n{further}"));
        let [nsenter, net] = lab::enter("server");
        let server = env!("CARGO_BIN_EXE_signallingserver");
        let arguments = [&net, server, "--config-file-path", file.to_str().unwrap()];
        let mut program = program::start(&nsenter, arguments, b"");
        program.line_with("listening on ");
        Self { program, _directory: directory }
    }

    pub(crate) fn stop(self) -> program::Ended {
        self.program.signal("TERM");
        let ended = self.program.wait();
        assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
        ended
    }
}

/// Writes a configuration file.
pub(crate) fn configuration(directory: &Path, yaml: &str) -> PathBuf {
    let file = directory.join("config.yaml");
    std::fs::write(&file, yaml).unwrap();
    file
}

/// A registered peer that does nothing by itself.
pub(crate) struct Peer {
    socket: UdpSocket,
    pub(crate) server: SocketAddr,
    session: Session,
}

impl Peer {
    /// One that has not registered.
    pub(crate) fn unregistered(server: SocketAddr) -> Self {
        let any = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(REPEAT)).unwrap();
        Self { socket, server, session: Session::NONE }
    }

    /// Registers a plain identifier.
    pub(crate) fn join(server: SocketAddr, number: u8) -> Self {
        let mut peer = Self::unregistered(server);
        let mut register = Register {
            session: Session::NONE,
            transaction: TransactionId([number; 16]),
            identifier: PeerId::plain([number; 16]).unwrap(),
            cookie: Cookie::NONE,
            ticket: Ticket::NONE,
            server: Address::NONE,
            signature: Signature::NONE,
        };
        let bytes = peer.ask(&Frame::Register(register));
        let Ok(Frame::Challenge(challenge)) = wire::decode(&bytes) else { panic!("{bytes:?}") };
        register.cookie = challenge.cookie;
        let bytes = peer.ask(&Frame::Register(register));
        let Ok(Frame::Registered(registered)) = wire::decode(&bytes) else { panic!("{bytes:?}") };
        peer.session = registered.session;
        peer
    }

    /// One for each family.
    pub(crate) fn of_both_families() -> Vec<Self> {
        SERVER.iter().zip(1..).map(|(server, number)| Self::join(server.parse().unwrap(), number)).collect()
    }

    /// Sends, and repeats until there is an answer.
    fn ask(&self, frame: &Frame<'_>) -> Vec<u8> {
        let start = Instant::now();
        let mut buffer = [0; wire::DATAGRAM_MAX];
        while start.elapsed() < PATIENCE {
            // The way may be interrupted here too.
            drop(self.socket.send_to(&frame.to_vec(), self.server));
            if let Ok(length) = self.socket.recv(&mut buffer) {
                return buffer[..length].to_vec();
            }
        }
        panic!("no answer within {PATIENCE:?}");
    }

    /// Asserts that a PING is answered.
    pub(crate) fn is_pinged(&self) {
        let ping = Ping { transaction: TransactionId([8; 16]), zero: Zeros::ZERO };
        let bytes = self.ask(&Frame::Ping(ping));
        assert!(matches!(wire::decode(&bytes), Ok(Frame::Pong(_))), "{bytes:?}");
    }

    /// Sends a PING and does not wait.
    pub(crate) fn ping(&self) {
        let ping = Ping { transaction: TransactionId([9; 16]), zero: Zeros::ZERO };
        drop(self.socket.send_to(&Frame::Ping(ping).to_vec(), self.server));
    }

    /// Tells whether a PING that was sent is answered.
    pub(crate) fn has_pong(&self) -> bool {
        let mut buffer = [0; wire::DATAGRAM_MAX];
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let heard = self.socket.recv(&mut buffer);
        self.socket.set_read_timeout(Some(REPEAT)).unwrap();
        heard.is_ok_and(|length| matches!(wire::decode(&buffer[..length]), Ok(Frame::Pong(_))))
    }

    /// Returns the port that it sends from.
    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Sends a KEEPALIVE and does not wait.
    pub(crate) fn keep_alive(&self) {
        drop(self.socket.send_to(&self.keepalive().to_vec(), self.server));
    }

    fn keepalive(&self) -> Frame<'static> {
        let (session, observed) = (self.session, Address::NONE);
        Frame::Keepalive(Keepalive { session, transaction: TransactionId([4; 16]), observed })
    }

    /// Asserts that the server answers, and still knows this session.
    pub(crate) fn is_served(&self) {
        self.forget_answers();
        loop {
            match wire::decode(&self.ask(&self.keepalive())) {
                Ok(Frame::KeepaliveReply(_)) => return,
                // Of a PING that was on its way.
                Ok(Frame::Pong(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// What has come in the meantime is of no interest.
    fn forget_answers(&self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; wire::DATAGRAM_MAX]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
    }
}
