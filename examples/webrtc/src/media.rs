//! The WebRTC side of the call: drives str0m, which does no I/O of its own. Knows nothing of the signalling.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;

use crate::Result;

/// Packets of audio that each side sends.
pub(crate) const PACKETS: u32 = 500;
/// From one to the next.
const PACKET_TIME: Duration = Duration::from_millis(20);
/// Samples in one, at Opus's 48 kHz.
const PACKET_SAMPLES: u64 = 960;
/// Bytes in one: Opus at 64 kbit/s.
const PACKET_BYTES: usize = 160;
/// How long the other side may take after this one has finished, and to connect.
const LINGER: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(15);

/// How often the call is looked at, if nothing happens.
const LOOK: Duration = Duration::from_millis(200);

/// One call's media.
pub(crate) struct Media {
    rtc: Rtc,
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    audio: Option<Mid>,
    started: Instant,
    /// The other side has hung up.
    closed: bool,
}

/// What has been said and heard.
pub(crate) struct Audio {
    pub(crate) sent: u32,
    pub(crate) received: u32,
    next: Instant,
    /// Since when nothing has been sent or heard.
    quiet: Instant,
}

impl Media {
    /// Makes the offer of a call with audio both ways. Candidates follow.
    pub(crate) fn offering(socket: Arc<UdpSocket>, local: SocketAddr) -> Result<(Self, String)> {
        let mut this = Self::new(socket, local);
        let mut change = this.rtc.sdp_api();
        this.audio = Some(change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None));
        let (offer, pending) = change.apply().ok_or("nothing to offer")?;
        this.pending = Some(pending);
        Ok((this, offer.to_sdp_string()))
    }

    /// Takes an offer and makes the answer. Candidates follow.
    pub(crate) fn answering(
        socket: Arc<UdpSocket>,
        local: SocketAddr,
        offer: &str,
    ) -> Result<(Self, String)> {
        let mut this = Self::new(socket, local);
        let answer = this.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        Ok((this, answer.to_sdp_string()))
    }

    fn new(socket: Arc<UdpSocket>, local: SocketAddr) -> Self {
        let started = Instant::now();
        let rtc = Rtc::builder().clear_codecs().enable_opus(true, false).build(started);
        Self { rtc, socket, local, pending: None, audio: None, started, closed: false }
    }

    /// Takes the answer to the offer.
    pub(crate) fn answered(&mut self, answer: &str) -> Result<()> {
        let pending = self.pending.take().ok_or("there is no offer")?;
        Ok(self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(answer)?)?)
    }

    /// Makes this side's candidates, for the other: its own address, and the one that others see.
    pub(crate) fn candidates(&mut self, observed: SocketAddr) -> Result<Vec<String>> {
        let own = Candidate::host(self.local, Protocol::Udp)?;
        let seen = Candidate::server_reflexive(observed, self.local, Protocol::Udp)?;
        let candidates = [own, seen].into_iter();
        Ok(candidates
            .filter_map(|one| self.rtc.add_local_candidate(one).map(Candidate::to_sdp_string))
            .collect())
    }

    /// Takes a candidate of the other side.
    pub(crate) fn candidate(&mut self, text: &str) -> Result<()> {
        self.rtc.add_remote_candidate(Candidate::from_sdp_string(text)?);
        Ok(())
    }

    /// Takes a datagram. What is none of WebRTC's is let go.
    pub(crate) fn received(&mut self, source: SocketAddr, bytes: &[u8]) -> Result<()> {
        let Ok(contents) = bytes.try_into() else { return Ok(()) };
        let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
        Ok(self.rtc.handle_input(Input::Receive(Instant::now(), receive))?)
    }

    /// Tells the stack what time it is.
    pub(crate) fn timeout(&mut self) -> Result<()> {
        Ok(self.rtc.handle_input(Input::Timeout(Instant::now()))?)
    }

    /// Sends what is to be sent, counts what was heard, and returns when the stack wants to be woken.
    pub(crate) async fn drain(&mut self, audio: &mut Audio) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at.min(Instant::now() + LOOK)),
                Output::Transmit(transmit) => {
                    // What cannot be sent is as good as lost, and repeated.
                    drop(self.socket.send_to(&transmit.contents, transmit.destination).await);
                }
                Output::Event(Event::Connected) => {
                    println!("connected after {:.0} ms", self.started.elapsed().as_secs_f64() * 1000.0);
                    (audio.next, audio.quiet) = (Instant::now(), Instant::now());
                }
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(Event::MediaAdded(added)) => self.audio = Some(added.mid),
                Output::Event(Event::MediaData(_)) => {
                    audio.received += 1;
                    audio.quiet = Instant::now();
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Sends the next packet of audio.
    pub(crate) fn speak(&mut self, audio: &mut Audio) -> Result<()> {
        let writer = self.audio.and_then(|mid| self.rtc.writer(mid)).ok_or("no audio was agreed on")?;
        let payload = writer.payload_params().next().ok_or("no codec was agreed on")?;
        let (pt, rate) = (payload.pt(), payload.spec().clock_rate);
        let time = MediaTime::new(u64::from(audio.sent) * PACKET_SAMPLES, rate.into());
        writer.write(pt, Instant::now(), time, silence())?;
        audio.sent += 1;
        audio.next += PACKET_TIME;
        audio.quiet = Instant::now();
        Ok(())
    }

    /// Tells whether audio passes.
    pub(crate) fn is_connected(&self) -> bool {
        self.rtc.is_connected()
    }

    /// Tells whether both sides have said everything, or there is no hope of it.
    pub(crate) fn is_over(&self, audio: &Audio) -> bool {
        if self.closed || !self.rtc.is_alive() {
            return true;
        }
        if !self.rtc.is_connected() {
            return self.started.elapsed() > CONNECT;
        }
        audio.sent == PACKETS && audio.quiet.elapsed() > LINGER
    }
}

impl Audio {
    pub(crate) fn new() -> Self {
        Self { sent: 0, received: 0, next: Instant::now(), quiet: Instant::now() }
    }

    /// Waits until the next packet is to be sent; for ever if there is none.
    pub(crate) async fn due(&self, connected: bool) {
        if connected && self.sent < PACKETS {
            tokio::time::sleep_until(self.next.into()).await;
        } else {
            std::future::pending().await
        }
    }
}

/// Makes a packet of 20 ms of Opus, as long as speech: a frame of silence and padding. RFC 6716, section 3.2.5
fn silence() -> Vec<u8> {
    // CELT, full band, 20 ms, mono, and that a count follows; one frame, and that padding follows; its length.
    const HEADER: usize = 3;
    const FRAME: [u8; 2] = [0xff, 0xfe];
    let padding = PACKET_BYTES - HEADER - FRAME.len();
    let mut packet = vec![0xfb, 0x41, padding as u8];
    packet.extend(FRAME);
    packet.resize(PACKET_BYTES, 0);
    packet
}
