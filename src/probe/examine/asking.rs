//! What asks and listens, apart from the socket that it does so over: what comes back can be that of a virtual network, too.

use std::io;

use roundtable_proto::Instant;
use tokio::time::timeout_at;

use crate::clock::Clock;
use crate::probe::line::Line;

/// Bytes of the longest datagram that is looked at.
const DATAGRAM_BUFFER: usize = 2048;

/// One who asks. It is polled until it has no more to say, before each wait.
pub(super) trait Asking {
    /// Returns the datagram to send now, and takes it as sent.
    fn poll(&mut self, now: Instant) -> Option<Vec<u8>>;

    /// Takes what has come: a datagram, or what the system says of one that was sent.
    fn take(&mut self, now: Instant, come: io::Result<&[u8]>);

    /// Returns when to go on, if nothing comes; none once there is no more to ask.
    fn next(&self) -> Option<Instant>;
}

/// Lets it ask over one socket, and be answered over another, which may be the same.
pub(super) async fn ask(out: &Line, back: &Line, asking: &mut impl Asking) {
    let clock = Clock::start();
    let mut buffer = vec![0; DATAGRAM_BUFFER];
    loop {
        while let Some(datagram) = asking.poll(clock.now()) {
            if let Err(error) = out.send(&datagram).await {
                asking.take(clock.now(), Err(error));
            }
        }
        let Some(next) = asking.next() else { return };
        if let Ok(received) = timeout_at(clock.wake_at(next), back.recv(&mut buffer)).await {
            asking.take(clock.now(), received.map(|length| &buffer[..length]));
        }
    }
}
