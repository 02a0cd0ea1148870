//! What the forged datagrams hold, and in whose name they are sent: one row of the table each.

use roundtable_signalling::proto::wire::{self, Direction, Kind};

use crate::attack::Own;
use crate::random::Random;

/// Most bytes of UDP payload.
const UDP_MAX: usize = 65_000;
/// Bytes that fit a usual link.
const LINK_MAX: usize = 1472;
/// Where every kind has 16 bytes that may be anything.
const FREE: std::ops::Range<usize> = 4..20;
/// Where frames towards the server have their session.
const SESSION: std::ops::Range<usize> = 4..20;
/// Bytes of a blob's only fragment, of a kind that allows least.
const BLOB_MAX: usize = 1024;

/// In whose name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// A host behind the victim, any port.
    Victim,
    /// The same, this port.
    Port(u16),
    /// The server's own address and port.
    Server,
    /// Addresses that nobody can have as a source: zero, broadcast, multicast, loopback.
    Impossible,
}

#[derive(Clone, Copy)]
pub(crate) enum Contents {
    Valid(Kind),
    /// A valid one with bits changed, cut or lengthened.
    Altered(Kind),
    /// Every kind in another version.
    OtherVersion,
    /// The vectors that must be refused.
    MustFail,
    Random,
    /// Nothing but a right header.
    HeaderAndRandom,
    Empty,
    /// More than a datagram may have.
    Oversized,
    /// A live session, of another address.
    LiveSession,
    /// A cookie and a session that another address has proved.
    LiveCookie,
    /// What a server answers.
    Answered,
    /// STUN Binding requests, of every form that is answered.
    Stun,
    /// The shortest of them.
    ShortestStun,
    /// The same as the first, altered.
    AlteredStun,
}

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) contents: Contents,
    /// Fifths of what was sent that may come to the victim at most, by family. SPEC 11
    pub(crate) fifths: [u64; 2],
}

/// No more than was sent.
const AS_MUCH: [u64; 2] = [5, 5];
/// The one exception: 32 bytes for 20, over IPv6 44.
const STUN: [u64; 2] = [8, 11];

/// The rows of STUN alone. A strict server has no exception.
pub(crate) fn stun(is_strict: bool) -> Vec<Row> {
    let fifths = if is_strict { AS_MUCH } else { STUN };
    [
        ("STUN Binding, shortest", Contents::ShortestStun),
        ("STUN Binding", Contents::Stun),
        ("STUN Binding, altered", Contents::AlteredStun),
    ]
    .map(|(name, contents)| Row { name: name.to_owned(), source: Source::Victim, contents, fifths })
    .into()
}

pub(crate) fn all() -> Vec<Row> {
    let row = |name: &str, source, contents| Row { name: name.to_owned(), source, contents, fifths: AS_MUCH };
    let mut rows = Vec::new();
    for &kind in Kind::ALL {
        rows.push(row(kind.name(), Source::Victim, Contents::Valid(kind)));
        rows.push(row(&format!("{}, altered", kind.name()), Source::Victim, Contents::Altered(kind)));
    }
    for (name, contents) in [
        ("every kind, other version", Contents::OtherVersion),
        ("vectors that must fail", Contents::MustFail),
        ("random bytes, 0 to 1472", Contents::Random),
        ("right header, random bytes", Contents::HeaderAndRandom),
        ("empty", Contents::Empty),
        ("oversized, 1181 to 65000", Contents::Oversized),
        ("live session of another", Contents::LiveSession),
        ("REGISTER, live cookie of another", Contents::LiveCookie),
    ] {
        rows.push(row(name, Source::Victim, contents));
    }
    for port in [0, 53, 123, 1066] {
        rows.push(row(&format!("answered kinds, from port {port}"), Source::Port(port), Contents::Answered));
    }
    rows.push(row("answered kinds, from the server itself", Source::Server, Contents::Answered));
    rows.push(row("answered kinds, from impossible sources", Source::Impossible, Contents::Answered));
    rows.extend(stun(false));
    rows
}

/// Makes datagrams out of the golden ones.
pub(crate) struct Maker {
    golden: Vec<Vec<u8>>,
    must_fail: Vec<Vec<u8>>,
    stun: Vec<Vec<u8>>,
    own: Own,
}

impl Maker {
    pub(crate) fn new(own: Own) -> Self {
        Self {
            golden: datagrams(&vectors(include_str!("../../proto/vectors/frames.json")), "hex"),
            must_fail: datagrams(&vectors(include_str!("../../proto/vectors/must-fail.json")), "hex"),
            stun: datagrams(&vectors(include_str!("../../proto/vectors/stun.json"))["answered"], "request"),
            own,
        }
    }

    pub(crate) fn make(&self, contents: Contents, random: &mut Random) -> Vec<u8> {
        match contents {
            Contents::Valid(kind) => self.valid(kind, random),
            Contents::Altered(kind) => altered(self.valid(kind, random), random),
            Contents::OtherVersion => {
                let mut datagram = self.valid(*random.pick(Kind::ALL), random);
                datagram[2] = *random.pick(&[0, 2, 3, 0x7F, 0x80, 0xFF]);
                datagram
            }
            Contents::MustFail => random.pick(&self.must_fail).clone(),
            Contents::Random => filled(random.below(LINK_MAX + 1), random),
            Contents::HeaderAndRandom => {
                let mut datagram = filled(wire::HEADER + random.below(wire::DATAGRAM_MAX), random);
                let kind = random.pick(Kind::ALL).number();
                datagram[..wire::HEADER].copy_from_slice(&[b'R', b'T', wire::VERSION, kind]);
                datagram
            }
            Contents::Empty => Vec::new(),
            Contents::Oversized => {
                let mut datagram = self.valid(*random.pick(Kind::ALL), random);
                let most = if random.below(8) == 0 { UDP_MAX } else { LINK_MAX };
                datagram.resize(wire::DATAGRAM_MAX + 1 + random.below(most - wire::DATAGRAM_MAX), 0);
                datagram
            }
            Contents::LiveSession => self.with_session(random),
            Contents::LiveCookie => random.pick(&self.own.registers).clone(),
            Contents::Answered => self.valid(*random.pick(&inward()), random),
            Contents::Stun => random.pick(&self.stun).clone(),
            Contents::ShortestStun => self.stun.iter().min_by_key(|request| request.len()).unwrap().clone(),
            Contents::AlteredStun => altered(random.pick(&self.stun).clone(), random),
        }
    }

    /// A golden datagram of the kind with other values where any are allowed, and of any size where blobs are carried.
    fn valid(&self, kind: Kind, random: &mut Random) -> Vec<u8> {
        let of_kind: Vec<_> = self.golden.iter().filter(|datagram| datagram[3] == kind.number()).collect();
        let mut datagram = random.pick(&of_kind).to_vec();
        random.fill(&mut datagram[FREE]);
        if kind.has_blob() {
            let length = 1 + random.below(BLOB_MAX);
            // The length stands before the index, which ends the inward head but for its zeros. SPEC 4
            let at = if kind.direction() == Direction::In { 76 } else { 95 };
            datagram[at..at + 4].copy_from_slice(&(length as u32).to_be_bytes());
            datagram[at + 4] = 0;
            datagram.truncate(kind.size());
            datagram.extend(filled(length, random));
        }
        assert!(wire::decode(&datagram).is_ok(), "{kind:?}: {:?}", wire::decode(&datagram));
        datagram
    }

    /// Any kind that a live peer sends, under the attacker's live session, also to his other peer.
    fn with_session(&self, random: &mut Random) -> Vec<u8> {
        let mut datagram = self.valid(*random.pick(&inward()), random);
        datagram[SESSION].copy_from_slice(&self.own.session);
        if datagram[3] == Kind::Offer.number() {
            datagram[36..68].copy_from_slice(&self.own.friend);
        }
        if random.below(4) == 0 {
            datagram.truncate(random.below(datagram.len()));
        }
        datagram
    }
}

fn inward() -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.direction() == Direction::In).collect()
}

fn altered(mut datagram: Vec<u8>, random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => datagram.truncate(random.below(datagram.len())),
        1 => {
            let more = 1 + random.below(LINK_MAX - datagram.len());
            datagram.extend(filled(more, random));
        }
        2 => {
            for _ in 0..1 + random.below(8) {
                let at = random.below(datagram.len());
                datagram[at] ^= 1 << random.below(8);
            }
        }
        _ => {
            let start = wire::HEADER + random.below(datagram.len() - wire::HEADER);
            random.fill(&mut datagram[start..]);
        }
    }
    datagram
}

fn filled(length: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

fn vectors(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

/// Reads the datagrams of a list of vectors.
fn datagrams(vectors: &serde_json::Value, key: &str) -> Vec<Vec<u8>> {
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    vectors.as_array().unwrap().iter().map(|vector| bytes(vector[key].as_str().unwrap())).collect()
}
