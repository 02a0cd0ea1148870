//! The client engine before a server that lies: it survives, says only frames, and never wants to be woken at once for ever.

use roundtable_proto::client::{CALLS_MAX, Client, Config, Event, REASSEMBLIES_MAX};
use roundtable_proto::server::{self, Path, Server};
use roundtable_proto::wire::{self, Digest, Frame, Kind, OfferId, Relayed, RelayedHead};
use roundtable_proto::{Instant, Seed};

use super::script::{ADDRESSES, IDENTIFIERS, OFFERS, Script, address, identifier, key, offer};

/// Datagrams that one input makes a client send, at most: what it may have under way.
const OUTPUT_MAX: usize = 4096;
/// Datagrams that are kept, to answer with what they name.
const KEPT: usize = 8;
/// Where a session or a reference stands.
const PLACES: [usize; 3] = [4, 20, 36];

struct Play {
    client: Client,
    /// A server that does as it should; the script decides whose word counts.
    honest: Server,
    now: Instant,
    here: usize,
    heard: Vec<Vec<u8>>,
    calls: Vec<OfferId>,
}

pub(super) fn client(input: &[u8]) {
    let mut script = Script::new(input);
    let mut play = Play::new(&mut script);
    while let Some(step) = script.byte() {
        play.step(step, &mut script);
        play.settle(&mut script);
    }
}

impl Play {
    fn new(script: &mut Script<'_>) -> Self {
        let now = Instant::from_micros(1_000_000);
        let who = script.below(IDENTIFIERS);
        let config = match key(who) {
            Some(key) => Config::new(address(0), key, 1_700_000_000),
            None => Config::new(address(0), identifier(who), 1_700_000_000),
        };
        let tables = server::Config { max_peers: 4, max_offers: 4, ..server::Config::default() };
        Self {
            client: Client::new(now, config, Seed::from_number(7)),
            honest: Server::new(now, tables, Seed::from_number(8)),
            now,
            here: 1,
            heard: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        match step % 8 {
            0 => self.pass(script),
            1 | 2 => self.command(script),
            3 => {
                let from = script.below(ADDRESSES);
                let bytes = script.bytes(1300).to_vec();
                self.client.handle_datagram(self.now, address(from), &bytes);
            }
            4 => self.ring(script),
            _ => {
                let from = if step & 0x40 == 0 { 0 } else { script.below(ADDRESSES) };
                let kind = Kind::ALL[script.below(Kind::ALL.len())];
                let mut datagram = script.blank(kind);
                self.name(&mut datagram, script);
                script.patch(&mut datagram);
                self.client.handle_datagram(self.now, address(from), &datagram);
            }
        }
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now += script.time();
        if self.client.poll_timeout().is_some_and(|at| at <= self.now) {
            self.client.handle_timeout(self.now);
            let next = self.client.poll_timeout();
            assert!(next.is_none_or(|at| at > self.now), "the client wants to be woken at once, for ever");
        }
        self.honest.handle_timeout(self.now);
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let call = self.calls.get(script.below(self.calls.len().max(1))).copied().unwrap_or(offer(0));
        let blob = vec![7; [0, 1, 300, 1500, 5000, 65_536, 65_537][script.below(7)]];
        let (now, client) = (self.now, &mut self.client);
        match script.below(10) {
            0 | 1 => client.register(now),
            2 => {
                if let Ok(call) = client.offer(now, identifier(script.below(IDENTIFIERS)), blob) {
                    self.calls.push(call);
                }
            }
            3 => drop(client.answer(now, call, blob)),
            4 => drop(client.decline(now, call)),
            5 => drop(client.candidate(now, call, blob)),
            6 => drop(client.punch(now, call)),
            7 => client.ping(now),
            8 => {
                self.here = script.below(ADDRESSES);
                client.rebind(now);
            }
            _ => client.unregister(now),
        }
    }

    /// An offer of one fragment that the client has not asked for.
    fn ring(&mut self, script: &mut Script<'_>) {
        let blob = script.bytes(1024).to_vec();
        let session = self.heard.last().and_then(|last| last.get(4..20)?.try_into().ok());
        let head = RelayedHead {
            session: wire::Session(session.unwrap_or_default()),
            offer: offer(script.below(OFFERS)),
            source: identifier(script.below(IDENTIFIERS)),
            observed: address(script.below(ADDRESSES)).into(),
            digest: Digest::of(&blob),
            length: blob.len() as u32,
            index: 0,
        };
        if let Ok(relayed) = Relayed::new(wire::BlobKind::Offer, head, &blob) {
            self.client.handle_datagram(self.now, address(0), &Frame::RelayedOffer(relayed).to_vec());
        }
    }

    /// Fills in what the client looks for: sessions and references that it has sent.
    fn name(&self, datagram: &mut [u8], script: &mut Script<'_>) {
        for to in PLACES {
            let (heard, from) = (script.below(KEPT), PLACES[script.below(PLACES.len())]);
            let Some(named) = self.heard.iter().rev().nth(heard).and_then(|one| one.get(from..from + 16))
            else {
                continue;
            };
            if let Some(place) = datagram.get_mut(to..to + 16) {
                place.copy_from_slice(named);
            }
        }
    }

    /// Takes what the client sends, passes it to the honest server if the script says so, and what that says back.
    fn settle(&mut self, script: &mut Script<'_>) {
        self.take_events();
        let mut sent = 0;
        while let Some(transmit) = self.client.poll_transmit() {
            sent += 1;
            assert!(sent <= OUTPUT_MAX, "the client does not stop sending");
            assert!(transmit.contents.len() <= wire::DATAGRAM_MAX);
            wire::decode(&transmit.contents).expect("the client sends frames");
            if transmit.to == address(0) && sent < 8 && script.below(4) > 0 {
                let path = Path::from(address(self.here));
                self.honest.handle_datagram(self.now, path, &transmit.contents);
                self.hear_honest();
            }
            self.heard.push(transmit.contents);
        }
        let forgotten = self.heard.len().saturating_sub(KEPT);
        self.heard.drain(..forgotten);
        self.take_events();
        self.take_progress();
        let next = self.client.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "the client wants to be woken at once");
    }

    fn hear_honest(&mut self) {
        while let Some(transmit) = self.honest.poll_transmit() {
            if transmit.path.remote == address(self.here) {
                for datagram in transmit.datagrams() {
                    self.client.handle_datagram(self.now, address(0), datagram);
                    self.heard.push(datagram.to_vec());
                }
            }
        }
    }

    /// What is told of progress is bounded, and told once.
    fn take_progress(&mut self) {
        let mut told = 0;
        while let Some((_, progress)) = self.client.poll_progress() {
            told += 1;
            assert!(told <= CALLS_MAX, "the client does not stop telling");
            assert!(progress.fragments <= progress.of_fragments && progress.bytes <= progress.of_bytes);
        }
        if let Some(arriving) = self.client.poll_arriving() {
            assert!(
                arriving.len() <= REASSEMBLIES_MAX && arriving.iter().all(|one| !one.progress.is_complete())
            );
        }
        assert!(self.client.poll_arriving().is_none());
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            if let Event::Offered { offer, .. } = event {
                self.calls.push(offer);
            }
        }
        let forgotten = self.calls.len().saturating_sub(KEPT);
        self.calls.drain(..forgotten);
    }
}
