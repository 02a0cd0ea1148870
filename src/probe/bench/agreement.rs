//! Whether a server may be loaded: it is on this machine, or says that it has agreed. This must not be a weapon.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use roundtable_proto::wire::{
    self, Address, BENCHMARK_ID, BENCHMARKS_AGREED, Cookie, ErrorCode, Frame, Register, Session, Signature,
    Ticket, TransactionId,
};

use crate::probe::failure::Failure;

/// How long to wait for each answer, and how often to ask.
const WAIT: Duration = Duration::from_millis(500);
const TRIES: usize = 6;

/// Makes sure that `server` may be loaded.
pub(super) fn check(server: SocketAddr) -> Result<(), Failure> {
    if is_local(server) || has_agreed(server).map_err(Failure::System)? {
        Ok(())
    } else {
        Err(Failure::NotAgreed { server })
    }
}

/// Only an address of this machine can be bound.
fn is_local(server: SocketAddr) -> bool {
    let ip = server.ip();
    ip.is_loopback() || !ip.is_multicast() && !ip.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok()
}

/// Registers the reserved identifier: a server that has agreed refuses it in its own way, once the cookie has come back
/// to it, so that nobody else can agree for it.
fn has_agreed(server: SocketAddr) -> io::Result<bool> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    let mut transaction = [0; 16];
    getrandom::fill(&mut transaction)?;
    let mut register = Register {
        session: Session::NONE,
        transaction: TransactionId(transaction),
        identifier: BENCHMARK_ID,
        cookie: Cookie::NONE,
        ticket: Ticket::NONE,
        server: Address::from(server),
        signature: Signature::NONE,
    };
    for _ in 0..TRIES {
        socket.send(&Frame::Register(register).to_vec())?;
        match answer(&socket, register.transaction)? {
            Answer::Challenged(cookie) => register.cookie = cookie,
            Answer::Agreed => return Ok(true),
            Answer::Other => return Ok(false),
            Answer::None => {}
        }
    }
    Ok(false)
}

enum Answer {
    Challenged(Cookie),
    Agreed,
    Other,
    None,
}

fn answer(socket: &UdpSocket, transaction: TransactionId) -> io::Result<Answer> {
    let deadline = Instant::now() + WAIT;
    let mut buffer = [0; wire::DATAGRAM_MAX];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Answer::None);
        }
        socket.set_read_timeout(Some(left))?;
        // An error is the timeout, or news of an earlier datagram.
        let Ok(length) = socket.recv(&mut buffer) else { continue };
        match wire::decode(&buffer[..length]) {
            Ok(Frame::Challenge(challenge)) if challenge.reference == transaction => {
                return Ok(Answer::Challenged(challenge.cookie));
            }
            Ok(Frame::Error(refusal)) if refusal.reference == transaction => {
                let is_agreed = refusal.code == ErrorCode::IdentifierRefused.number()
                    && refusal.detail == BENCHMARKS_AGREED;
                return Ok(if is_agreed { Answer::Agreed } else { Answer::Other });
            }
            Ok(Frame::Registered(registered)) if registered.transaction == transaction => {
                return Ok(Answer::Other);
            }
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;
    use crate::config::Config;

    #[test]
    fn only_a_server_that_says_so_has_agreed() {
        for benchmarks in [true, false] {
            let (tell, address) = std::sync::mpsc::channel();
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let server = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let localaddress = Some(std::net::Ipv4Addr::LOCALHOST.into());
                    let config = Config { localport: 0, localaddress, benchmarks, ..Config::default() };
                    let server = Server::bind(&config).unwrap();
                    tell.send(server.local_addr()).unwrap();
                    let shutdown = async { drop(stopped.await) };
                    server.run(shutdown).await.unwrap();
                });
            });
            assert_eq!(has_agreed(address.recv().unwrap()).unwrap(), benchmarks);
            drop(stop);
            server.join().unwrap();
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        for (address, expected) in [
            ("127.0.0.1:1066", true),
            ("127.9.8.7:1066", true),
            ("[::1]:1066", true),
            ("192.0.2.1:1066", false),
            ("224.0.0.1:1066", false),
            ("0.0.0.0:1066", false),
            ("[2001:db8::1]:1066", false),
        ] {
            assert_eq!(is_local(address.parse().unwrap()), expected, "{address}");
        }
    }
}
