//! The annotated conversation of SPEC 16 is what the engines say to each other, byte for byte.
//!
//! After a change of the protocol, `UPDATE_SPEC=1 cargo test -p roundtable-proto --test conversation` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test ends where its data is not as it should be")]

use std::collections::VecDeque;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use roundtable_proto::client::{self, Client, Event};
use roundtable_proto::server::{self, Path, Server};
use roundtable_proto::wire::{self, ErrorCode, Kind, PeerId, layout};
use roundtable_proto::{Instant, Seed};

const BEGIN: &str = "## 16 A whole conversation\n";
const SERVER: &str = "203.0.113.1:1066";
const CALLER: &str = "198.51.100.7:40123";
const CALLEE: &str = "192.0.2.33:50321";
const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
const ANSWER: &[u8] = b"v=0\r\no=- 2 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
/// Between a datagram's leaving and its arrival.
const DELAY: Duration = Duration::from_millis(20);

/// Three engines and what is on its way between them, in order.
struct Talk {
    now: Instant,
    server: Server,
    caller: Client,
    callee: Client,
    wire: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    text: String,
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn name(of: SocketAddr) -> &'static str {
    match of {
        of if of == address(SERVER) => "S",
        of if of == address(CALLER) => "A",
        _ => "B",
    }
}

fn peer(now: Instant, uuid: &str, seed: u64) -> Client {
    let identifier: PeerId = uuid.parse().unwrap();
    let mut client =
        Client::new(now, client::Config::new(address(SERVER), identifier, 0), Seed::from_number(seed));
    client.keep_paths(false);
    client
}

impl Talk {
    fn new() -> Self {
        let now = Instant::from_micros(1_000_000);
        Self {
            now,
            server: Server::new(now, server::Config::default(), Seed::from_number(1)),
            caller: peer(now, "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a", 2),
            callee: peer(now, "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b", 3),
            wire: VecDeque::new(),
            text: String::new(),
        }
    }

    /// Puts what the engines want to send on the wire.
    fn collect(&mut self) {
        while let Some(sent) = self.caller.poll_transmit() {
            self.wire.push_back((address(CALLER), sent.to, sent.contents));
        }
        while let Some(sent) = self.callee.poll_transmit() {
            self.wire.push_back((address(CALLEE), sent.to, sent.contents));
        }
        while let Some(sent) = self.server.poll_transmit() {
            for datagram in sent.datagrams() {
                self.wire.push_back((address(SERVER), sent.path.remote, datagram.to_vec()));
            }
        }
    }

    /// Delivers until nobody has more to say and no short timer runs.
    fn settle(&mut self) {
        loop {
            self.collect();
            if let Some((from, to, datagram)) = self.wire.pop_front() {
                self.now += DELAY / 10;
                annotate(&mut self.text, from, to, &datagram);
                match name(to) {
                    "S" => drop(self.server.handle_datagram(self.now, Path::from(from), &datagram)),
                    "A" => drop(self.caller.handle_datagram(self.now, from, &datagram)),
                    _ => drop(self.callee.handle_datagram(self.now, from, &datagram)),
                }
                continue;
            }
            let due = [self.caller.poll_timeout(), self.callee.poll_timeout()].into_iter().flatten().min();
            match due {
                Some(at) if at < self.now + Duration::from_millis(100) => {
                    self.now = at.max(self.now);
                    self.caller.handle_timeout(self.now);
                    self.callee.handle_timeout(self.now);
                }
                _ => return,
            }
        }
    }

    fn chapter(&mut self, title: &str) {
        write!(self.text, "\n{title}\n").unwrap();
    }
}

fn events(client: &mut Client) -> Vec<Event> {
    std::iter::from_fn(|| client.poll_event()).collect()
}

/// Writes one datagram with a line for each field.
fn annotate(text: &mut String, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
    let kind = wire::decode(datagram).unwrap().kind();
    writeln!(text, "\n{} -> {}  {}, {} bytes", name(from), name(to), kind.name(), datagram.len()).unwrap();
    line(text, 0, &datagram[..4], &format!("\"RT\", version 1, {}", kind.name()));
    for field in layout(kind) {
        let end = if field.size == 0 { datagram.len() } else { field.offset + field.size };
        let bytes = &datagram[field.offset..end];
        line(text, field.offset, bytes, &meaning(kind, field.name, bytes));
    }
}

/// Writes up to 16 bytes a line; long runs are cut.
fn line(text: &mut String, offset: usize, bytes: &[u8], meaning: &str) {
    let all_zero = bytes.iter().all(|byte| *byte == 0);
    let shown = if bytes.len() > 16 && all_zero { 1 } else { bytes.len().div_ceil(16) };
    for (row, chunk) in bytes.chunks(16).take(shown).enumerate() {
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let note = if row == 0 { meaning } else { "" };
        writeln!(text, "{}", format!("  {:4}  {:<47}  {note}", offset + row * 16, hex.join(" ")).trim_end())
            .unwrap();
    }
    if shown * 16 < bytes.len() {
        writeln!(text, "        ... {} zero bytes in all", bytes.len()).unwrap();
    }
}

fn meaning(kind: Kind, field: &str, bytes: &[u8]) -> String {
    let number = || bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let none = bytes.iter().all(|byte| *byte == 0);
    let value = match field {
        "session" | "cookie" | "signature" if none => "none".to_owned(),
        "observed" | "peer" | "server" if none => "none".to_owned(),
        "observed" | "peer" | "server" if bytes[0] == 4 => {
            format!("{}.{}.{}.{}:{}", bytes[1], bytes[2], bytes[3], bytes[4], number() & 0xFFFF)
        }
        "observed" | "peer" | "server" => {
            let ip: [u8; 16] = bytes[1..17].try_into().unwrap();
            format!("[{}]:{}", std::net::Ipv6Addr::from(ip), number() & 0xFFFF)
        }
        "code" => ErrorCode::from_number(u16::try_from(number()).unwrap()).unwrap().name().to_owned(),
        "kind" => Kind::from_number(bytes[0]).unwrap().name().to_owned(),
        "bitmap" => format!("{} arrived", number().count_ones()),
        "ttl" | "timeout" | "retry_after" => format!("{} ms", number()),
        "maxblob" | "length" => format!("{} bytes", number()),
        "index" | "detail" => number().to_string(),
        "identifier" | "target" | "source" => "a plain one: UUID, 16 zero bytes".to_owned(),
        "blob" => format!("{} bytes of {}", bytes.len(), kind.name()),
        _ => return field.to_owned(),
    };
    format!("{field}: {value}")
}

/// Runs the whole conversation.
fn conversation() -> String {
    let mut talk = Talk::new();
    talk.chapter("A registers: no cookie, a challenge, the same again with the cookie.");
    talk.caller.register(talk.now);
    talk.settle();
    talk.chapter("B registers likewise.");
    talk.callee.register(talk.now);
    talk.settle();
    talk.chapter("A offers. The blob is short, so one fragment is all; B acknowledges it at once.");
    let target = "0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b".parse().unwrap();
    let offer = talk.caller.offer(talk.now, target, OFFER.to_vec()).unwrap();
    talk.settle();
    assert!(
        events(&mut talk.callee)
            .iter()
            .any(|event| matches!(event, Event::Offered { blob, .. } if blob == OFFER))
    );
    talk.chapter("B answers.");
    talk.callee.answer(talk.now, offer, ANSWER.to_vec()).unwrap();
    talk.settle();
    let answered = events(&mut talk.caller);
    assert!(answered.iter().any(|event| matches!(event, Event::Answered { blob, .. } if blob == ANSWER)));
    talk.chapter(
        "A asks for a direct path: both are told at once, and probe each other. S has no part in that.",
    );
    talk.caller.punch(talk.now, offer).unwrap();
    talk.settle();
    assert!(events(&mut talk.caller).iter().any(|event| matches!(event, Event::Path { .. })));
    talk.chapter("A keeps its mapping open, and says goodbye. B, of another version, would be told so.");
    talk.now += Duration::from_secs(18);
    while talk.caller.poll_timeout().is_some_and(|at| at <= talk.now + Duration::from_secs(4)) {
        talk.now = talk.caller.poll_timeout().unwrap().max(talk.now);
        talk.caller.handle_timeout(talk.now);
        talk.collect();
        if talk.wire.iter().any(|(.., datagram)| datagram[3] == Kind::Keepalive.number()) {
            break;
        }
    }
    talk.wire.retain(|(.., datagram)| datagram[3] == Kind::Keepalive.number());
    talk.settle();
    talk.caller.unregister(talk.now);
    talk.settle();
    let other_version = [b'R', b'T', 2, Kind::Ping.number()].into_iter().chain([0; 32]).collect::<Vec<u8>>();
    talk.server.handle_datagram(talk.now, Path::from(address(CALLEE)), &other_version);
    talk.settle();
    talk.text
}

#[test]
fn conversation_in_the_spec_is_what_the_engines_say() {
    let path = format!("{}/SPEC.md", env!("CARGO_MANIFEST_DIR"));
    let spec = std::fs::read_to_string(&path).unwrap();
    let (before, after) = spec.split_once(BEGIN).unwrap();
    let next_section = after.find("\n## ").map_or("", |at| &after[at..]);
    let introduction = "\nA is at 198.51.100.7:40123, B at 192.0.2.33:50321, the server S has default settings. Columns: \
                        offset, bytes, meaning.\nA test holds this section equal to what the engines send.\n\n```text";
    let expected = format!("{before}{BEGIN}{introduction}{}```\n{next_section}", conversation());
    if std::env::var_os("UPDATE_SPEC").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(spec == expected, "SPEC.md, section 16 is not what the engines say; see the top of this test");
}
