//! Finds out how this host's NAT behaves, before anybody is called: the tests of RFC 5780 against a server with a second port.
//!
//! Sends; what the answers mean is judged by [`roundtable_proto::nat`]. Each test has sockets of its own, since a mapping that one
//! has made, or spoilt, would answer for another.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::time::Duration;

use roundtable_proto::nat::{self, Behaviour, Filtering, Sighting, Verdict};
use roundtable_proto::stun::{self, Change, Other, Reply, Told};
use roundtable_proto::wire::{
    self, Address, BENCHMARK_ID, Cookie, Frame, Register, Session, Signature, Ticket, TransactionId,
};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use crate::client::any_address;
use crate::pinger::Pinger;

/// Times that a question is asked; any may be lost.
const TRIES: u32 = 6;
/// From one to the next.
const APART: Duration = Duration::from_millis(150);
/// How long the last may take: twice round the world.
const PATIENCE: Duration = Duration::from_millis(700);
/// The unspoilt change.
const NONE: Change = Change { address: false, port: false };

/// Why there is no verdict.
#[derive(Debug)]
pub enum NatError {
    /// The operating system's reason.
    System(io::Error),
    /// The server is there, but answers no STUN (`stun: false`).
    NoStun,
}

impl fmt::Display for NatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => error.fmt(f),
            Self::NoStun => f.write_str("the server answers, but no STUN, which a verdict is made by"),
        }
    }
}

impl std::error::Error for NatError {}

impl From<io::Error> for NatError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Finds out how this host's way to `server` treats UDP; takes two to four seconds. `second` is another server on another network,
/// any that answers STUN: without one it is not noticed where UDP passes to `server` alone. A second place of `server` itself is none.
///
/// # Errors
/// [`NatError`].
pub async fn examine(server: SocketAddr, second: Option<SocketAddr>) -> Result<Verdict, NatError> {
    let second = second.filter(|second| second.is_ipv4() == server.is_ipv4());
    let asking = Asking::new(server).await?;
    let Some(Reply::Told(told)) = asking.ask(server, NONE).await? else {
        let pong = Pinger::new(server).await?.ping(PATIENCE).await?;
        return if pong.is_some() { Err(NatError::NoStun) } else { Ok(Verdict::NoUdp) };
    };
    let local = local_ip(server)?;
    let is_translated = told.mapped.ip() != local;
    let (let_in, hairpin) = tokio::try_join!(let_in(server), hairpin(server, is_translated))?;
    let (let_in, other) = let_in;
    let seen = asking.sightings(told.mapped, other, second).await?;
    let filtering = other.and_then(|other| filtering(server, other, let_in, &seen));
    Ok(Verdict::Seen(Behaviour {
        public: told.mapped.ip(),
        is_translated,
        mapping: nat::mapping(&seen),
        filtering,
        keeps_port: told.mapped.port() == asking.0.local_addr()?.port(),
        hairpin,
        elsewhere: second
            .filter(|second| !is_of(server, other, *second))
            .map(|second| seen.iter().any(|one| one.server == second)),
    }))
}

/// Tells whether a place is one of the server's own.
fn is_of(server: SocketAddr, other: Option<Other>, place: SocketAddr) -> bool {
    let second_address = match other {
        Some(Other::Address(address)) => Some(address.ip()),
        Some(Other::Port(_)) | None => None,
    };
    place.ip() == server.ip() || Some(place.ip()) == second_address
}

/// Finds out where else `server` can be asked: at its second address or port, if it has one and answers STUN.
///
/// # Errors
/// The operating system's.
#[cfg(feature = "cli")]
pub(crate) async fn second_place(server: SocketAddr) -> io::Result<Option<SocketAddr>> {
    let other = Asking::new(server).await?.other().await?;
    Ok(other.map(|other| match other {
        Other::Port(port) => SocketAddr::new(server.ip(), port),
        Other::Address(address) => address,
    }))
}

/// A socket that asks, of the server's family.
struct Asking(UdpSocket, SocketAddr);

impl Asking {
    async fn new(server: SocketAddr) -> io::Result<Self> {
        Ok(Self(UdpSocket::bind(any_address(server)).await?, server))
    }

    /// Asks until there is an answer, wherever it comes from.
    async fn ask(&self, to: SocketAddr, change: Change) -> io::Result<Option<Reply>> {
        let transaction = random()?;
        let request = stun::request(transaction, change);
        self.exchange(to, &request, |datagram| stun::reply(datagram, transaction)).await
    }

    /// Sends the same to one place again and again until what comes is what is waited for.
    async fn exchange<T>(
        &self,
        to: SocketAddr,
        request: &[u8],
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> io::Result<Option<T>> {
        for number in 1..=TRIES {
            // A route that is missing is no answer either.
            drop(self.0.send_to(request, to).await);
            let wait = if number == TRIES { PATIENCE } else { APART };
            if let Some(read) = self.hear(Instant::now() + wait, &read).await {
                return Ok(Some(read));
            }
        }
        Ok(None)
    }

    async fn hear<T>(&self, until: Instant, read: &impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = [0; wire::DATAGRAM_MAX];
        loop {
            match timeout_at(until, self.0.recv_from(&mut buffer)).await {
                Err(_) => return None,
                // An error is news of an earlier datagram, such as a port that is closed.
                Ok(Err(_)) => tokio::task::yield_now().await,
                Ok(Ok((length, _))) => {
                    if let Some(read) = read(&buffer[..length]) {
                        return Some(read);
                    }
                }
            }
        }
    }

    /// Proves this socket's address to the server: by a REGISTER of an identifier that nobody may hold, so that it leaves
    /// nothing behind. SPEC 17
    async fn prove(&self) -> io::Result<()> {
        let transaction = TransactionId(random()?);
        let mut register = Register {
            session: Session::NONE,
            transaction,
            identifier: BENCHMARK_ID,
            cookie: Cookie::NONE,
            ticket: Ticket::NONE,
            server: Address::NONE,
            signature: Signature::NONE,
        };
        let cookie = |datagram: &[u8]| match wire::decode(datagram) {
            Ok(Frame::Challenge(challenge)) if challenge.reference == transaction => Some(challenge.cookie),
            _ => None,
        };
        let request = Frame::Register(register).to_vec();
        let Some(cookie) = self.exchange(self.1, &request, cookie).await? else { return Ok(()) };
        register.cookie = cookie;
        let refusal = |datagram: &[u8]| match wire::decode(datagram) {
            Ok(Frame::Error(refusal)) if refusal.reference == transaction => Some(()),
            _ => None,
        };
        self.exchange(self.1, &Frame::Register(register).to_vec(), refusal).await?;
        Ok(())
    }

    /// Asks where else the server can be asked, which is told only to who has proved its address.
    async fn other(&self) -> io::Result<Option<Other>> {
        self.prove().await?;
        Ok(match self.ask(self.1, NONE).await? {
            Some(Reply::Told(told)) => told.other,
            Some(Reply::Refused) | None => None,
        })
    }

    /// Asks every place that there is, and says what each has seen.
    async fn sightings(
        &self,
        mapped: SocketAddr,
        other: Option<Other>,
        second: Option<SocketAddr>,
    ) -> io::Result<Vec<Sighting>> {
        let server = self.1;
        let further = match other {
            None => vec![],
            Some(Other::Port(port)) => vec![SocketAddr::new(server.ip(), port)],
            Some(Other::Address(address)) => vec![
                SocketAddr::new(server.ip(), address.port()),
                SocketAddr::new(address.ip(), server.port()),
                address,
            ],
        };
        let mut seen = vec![Sighting { server, mapped }];
        for server in further.into_iter().chain(second) {
            if let Some(Reply::Told(Told { mapped, .. })) = self.ask(server, NONE).await? {
                seen.push(Sighting { server, mapped });
            }
        }
        Ok(seen)
    }
}

/// From where a mapping towards the server has let an answer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LetIn {
    /// The second address, and a second port there.
    OtherAddress,
    /// The second port of the address that was asked.
    OtherPort,
    /// Neither.
    Nowhere,
    /// The server does not answer from elsewhere.
    Untold,
}

/// Asks the server to answer from where else it can be asked, and finds out where that is.
async fn let_in(server: SocketAddr) -> Result<(LetIn, Option<Other>), NatError> {
    let asking = Asking::new(server).await?;
    let Some(other) = asking.other().await? else { return Ok((LetIn::Untold, None)) };
    let from_address = Change { address: true, port: true };
    if matches!(other, Other::Address(_))
        && matches!(asking.ask(server, from_address).await?, Some(Reply::Told(_)))
    {
        return Ok((LetIn::OtherAddress, Some(other)));
    }
    let from_port = Change { address: false, port: true };
    let let_in = match asking.ask(server, from_port).await? {
        Some(Reply::Told(_)) => LetIn::OtherPort,
        Some(Reply::Refused) => LetIn::Untold,
        None => LetIn::Nowhere,
    };
    Ok((let_in, Some(other)))
}

/// Judges the filtering. The silence of a place that answers to nobody tells nothing.
fn filtering(server: SocketAddr, other: Other, let_in: LetIn, seen: &[Sighting]) -> Option<Filtering> {
    let answers = |place: SocketAddr| seen.iter().any(|one| one.server == place);
    let (port, address) = match other {
        Other::Port(port) => (port, None),
        Other::Address(address) => (address.port(), Some(address)),
    };
    match let_in {
        LetIn::OtherAddress => Some(Filtering::EndpointIndependent),
        LetIn::OtherPort if address.is_some_and(answers) => Some(Filtering::AddressDependent),
        LetIn::OtherPort => Some(Filtering::PortIndependent),
        LetIn::Nowhere if answers(SocketAddr::new(server.ip(), port)) => {
            Some(Filtering::AddressAndPortDependent)
        }
        LetIn::Nowhere | LetIn::Untold => None,
    }
}

/// Finds out whether two sockets of this host reach each other at their public addresses.
async fn hairpin(server: SocketAddr, is_translated: bool) -> Result<Option<bool>, NatError> {
    if !is_translated {
        return Ok(None);
    }
    let (one, other) = (Asking::new(server).await?, Asking::new(server).await?);
    let (Some(Reply::Told(of_one)), Some(Reply::Told(of_other))) =
        (one.ask(server, NONE).await?, other.ask(server, NONE).await?)
    else {
        return Ok(None);
    };
    let token: [u8; 16] = random()?;
    let heard = |datagram: &[u8]| (datagram == token).then_some(());
    // Each opens the way for the other.
    let (there, back) = tokio::try_join!(
        one.exchange(of_other.mapped, &token, heard),
        other.exchange(of_one.mapped, &token, heard)
    )?;
    Ok(Some(there.or(back).is_some()))
}

/// The address that this host uses towards the server. Nothing is sent.
fn local_ip(server: SocketAddr) -> io::Result<IpAddr> {
    let socket = StdSocket::bind(any_address(server))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip().to_canonical())
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn silence_of_a_place_that_answers_to_nobody_tells_nothing() {
        use Filtering::{AddressAndPortDependent, AddressDependent, EndpointIndependent, PortIndependent};
        let (port, address) = (Other::Port(2), Other::Address(place("192.0.2.9:2")));
        let all = ["192.0.2.1:2", "192.0.2.9:1", "192.0.2.9:2"];
        for (other, let_in, answering, expected) in [
            (port, LetIn::OtherPort, &all[..1], Some(PortIndependent)),
            (port, LetIn::Nowhere, &all[..1], Some(AddressAndPortDependent)),
            (port, LetIn::Nowhere, &[], None),
            (port, LetIn::Untold, &all[..1], None),
            (address, LetIn::OtherAddress, &[], Some(EndpointIndependent)),
            (address, LetIn::OtherPort, &all, Some(AddressDependent)),
            (address, LetIn::OtherPort, &all[..1], Some(PortIndependent)),
            (address, LetIn::OtherPort, &all[..2], Some(PortIndependent)),
            (address, LetIn::Nowhere, &all, Some(AddressAndPortDependent)),
            (address, LetIn::Nowhere, &all[1..], None),
            (address, LetIn::Untold, &all, None),
        ] {
            let sighting = |text: &&str| Sighting { server: place(text), mapped: place("198.51.100.1:7") };
            let seen: Vec<_> = answering.iter().map(sighting).collect();
            let judged = filtering(place("192.0.2.1:1"), other, let_in, &seen);
            assert_eq!(judged, expected, "{other:?} {let_in:?} {answering:?}");
        }
    }
}
