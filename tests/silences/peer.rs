//! A peer that is not as it should be: the engine over a socket, with another date or another version.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as SystemInstant, SystemTime, UNIX_EPOCH};

use roundtable_signalling::proto::client::{Client, Config, Event};
use roundtable_signalling::proto::identity::SecretKey;
use roundtable_signalling::proto::wire::{
    self, BlobKind, DATAGRAM_MAX, Digest, Fragment, FragmentHead, Frame, PeerId,
};
use roundtable_signalling::proto::{Instant, Seed};

/// Between two looks at the engine.
const STEP: Duration = Duration::from_millis(5);

/// What is wrong with it.
#[derive(Clone, Copy)]
pub(crate) enum Wrong {
    /// Its clock is so many seconds ahead.
    Clock(u64),
    /// It seals in this version.
    Seal(u8),
}

/// It answers every offer, until it is dropped.
pub(crate) struct Peer {
    pub(crate) identifier: PeerId,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Returns once it is registered.
    pub(crate) fn listen(server: SocketAddr, wrong: Wrong) -> Self {
        let key = SecretKey::from_seed(&[7; 32]).unwrap();
        let (identifier, end) = (key.identifier(), Arc::new(AtomicBool::new(false)));
        let (ready, registered) = std::sync::mpsc::channel();
        let ended = Arc::clone(&end);
        let thread = thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(STEP)).unwrap();
            let ahead = if let Wrong::Clock(ahead) = wrong { ahead } else { 0 };
            let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + ahead;
            let start = SystemInstant::now();
            let now = || Instant::after_origin(start.elapsed());
            let mut engine = Client::new(now(), Config::new(server, key, date), Seed::from_number(5));
            engine.register(now());
            let mut buffer = [0; DATAGRAM_MAX];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    engine.handle_datagram(now(), from, &buffer[..length]);
                }
                if engine.poll_timeout().is_some_and(|at| at <= now()) {
                    engine.handle_timeout(now());
                }
                while let Some(event) = engine.poll_event() {
                    if let Event::Registered { .. } = event {
                        ready.send(()).unwrap();
                    } else if let Event::Offered { offer, blob, .. } = event {
                        // Of one fragment where it is altered.
                        let answer = if let Wrong::Seal(_) = wrong { b"v=0 answered".to_vec() } else { blob };
                        engine.answer(now(), offer, answer).unwrap();
                    }
                }
                while let Some(transmit) = engine.poll_transmit() {
                    socket.send_to(&altered(wrong, &transmit.contents), transmit.to).unwrap();
                }
            }
        });
        registered.recv().unwrap();
        Self { identifier, end, thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told.
            drop(thread.join());
        }
    }
}

/// Writes another version into an answer of one fragment, which a sealed blob begins with.
fn altered(wrong: Wrong, datagram: &[u8]) -> Vec<u8> {
    let (Wrong::Seal(version), Ok(Frame::Answer(answer))) = (wrong, wire::decode(datagram)) else {
        return datagram.to_vec();
    };
    let mut blob = answer.blob().to_vec();
    blob[0] = version;
    let head = FragmentHead { digest: Digest::of(&blob), ..*answer.head() };
    Frame::Answer(Fragment::new(BlobKind::Answer, head, &blob).unwrap()).to_vec()
}
