//! A voice call between two peers: signalled over Roundtable, media by str0m, both on one UDP socket.
//!
//! ```text
//! webrtc-call listen SERVER
//! webrtc-call call SERVER PEER
//! ```
//!
//! SERVER is an address with port, PEER what `listen` shows. Each side sends audio for ten seconds, one packet every 20 ms,
//! and says how many packets came from the other.

mod media;

use std::error::Error;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use media::{Audio, Media};
use roundtable_signalling::client::{Call, CallEvent, Client, Incoming, Media as Datagram, Options};
use roundtable_signalling::proto::wire::PeerId;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Datagrams of media that wait to be looked at, at most; further ones are lost, as on a network.
const DATAGRAMS_MAX: usize = 256;
/// What a call may lose, of 100 packets.
const LOST_MAX: u32 = 5;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One socket, and the two that share it.
struct Peer {
    client: Client,
    incoming: Incoming,
    /// What comes on the socket and is none of the signalling's.
    datagrams: mpsc::Receiver<Datagram>,
    socket: Arc<UdpSocket>,
    /// This host's own address on the way to the server.
    local: SocketAddr,
    /// The address under which the server sees this host.
    observed: SocketAddr,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["listen", server] => listen(server).await,
        ["call", server, peer] => call(server, peer).await,
        [..] => Err("usage: webrtc-call listen SERVER | webrtc-call call SERVER PEER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("webrtc-call: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Offers a call.
async fn call(server: &str, peer: &str) -> Result<()> {
    let mut this = register(server).await?;
    let (mut media, offer) = Media::offering(Arc::clone(&this.socket), this.local)?;
    let mut call = this.client.call(peer.parse()?, offer.into()).await?;
    let answer = call.answered().await?;
    media.answered(text(&answer.blob)?)?;
    trickle(&call, &mut media, &this).await?;
    // Both NATs are opened at the same moment; then ICE finds the way open, and proves it for itself.
    match call.punch().await {
        Ok(path) => println!("direct path to {}", path.peer),
        Err(error) => println!("no direct path: {error}"),
    }
    talk(&mut this, &mut call, media).await
}

/// Waits for one call and answers it.
async fn listen(server: &str) -> Result<()> {
    let mut this = register(server).await?;
    let mut ringing = this.incoming.accept().await.ok_or("the client has ended")?;
    println!("{} calls", ringing.from);
    let (mut media, answer) = Media::answering(Arc::clone(&this.socket), this.local, text(&ringing.offer)?)?;
    ringing.answer(answer.into()).await?;
    let call = ringing.call();
    trickle(call, &mut media, &this).await?;
    match call.path().await {
        Ok(path) => println!("direct path to {}", path.peer),
        Err(error) => println!("no direct path: {error}"),
    }
    talk(&mut this, call, media).await
}

/// Binds the socket and registers over it.
async fn register(server: &str) -> Result<Peer> {
    let server: SocketAddr = server.parse()?;
    let socket = Arc::new(UdpSocket::bind((unspecified(server), 0)).await?);
    let local = SocketAddr::new(source(server)?, socket.local_addr()?.port());
    let (sender, datagrams) = mpsc::channel(DATAGRAMS_MAX);
    let mut options = Options::new(server, identity()?);
    options.socket = Some(Arc::clone(&socket));
    options.media = Some(sender);
    let (client, incoming) = Client::start(options).await?;
    let observed = client.registered().await?;
    println!("registered, {local} is seen as {observed}");
    Ok(Peer { client, incoming, datagrams, socket, local, observed })
}

/// Makes a plain identifier, and shows it. An application has a key instead, which `secret_file` keeps.
fn identity() -> Result<PeerId> {
    let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let mut number = nanoseconds.to_be_bytes();
    number[..4].copy_from_slice(&std::process::id().to_be_bytes());
    let identifier = PeerId::plain(number).ok_or("no identifier")?;
    println!("identifier {identifier}");
    Ok(identifier)
}

/// Sends the other side the candidates of this one: where this host is, and where the server sees it.
async fn trickle(call: &Call, media: &mut Media, this: &Peer) -> Result<()> {
    for candidate in media.candidates(this.observed)? {
        call.candidate(candidate.into()).await?;
    }
    Ok(())
}

/// Runs the call: media and candidates come in, audio goes out, until both have said what they have to say.
async fn talk(this: &mut Peer, call: &mut Call, mut media: Media) -> Result<()> {
    let mut audio = Audio::new();
    while !media.is_over(&audio) {
        let wake = media.drain(&mut audio).await?;
        tokio::select! {
            Some((from, bytes)) = this.datagrams.recv() => media.received(from, &bytes)?,
            Some(event) = call.next() => if let CallEvent::Candidate { message, .. } = event {
                media.candidate(text(&message)?)?;
            },
            () = tokio::time::sleep_until(wake.into()) => media.timeout()?,
            () = audio.due(media.is_connected()) => media.speak(&mut audio)?,
        }
    }
    println!("sent {} packets of audio, received {} of {}", audio.sent, audio.received, media::PACKETS);
    this.client.unregister().await?;
    let least = media::PACKETS - media::PACKETS * LOST_MAX / 100;
    if audio.received < least { Err(format!("fewer than {least}").into()) } else { Ok(()) }
}

/// The address that this host uses towards the server. Nothing is sent.
fn source(server: SocketAddr) -> Result<std::net::IpAddr> {
    let socket = StdSocket::bind((unspecified(server), 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

fn unspecified(server: SocketAddr) -> &'static str {
    if server.is_ipv4() { "0.0.0.0" } else { "::" }
}

fn text(bytes: &[u8]) -> Result<&str> {
    Ok(std::str::from_utf8(bytes)?)
}
