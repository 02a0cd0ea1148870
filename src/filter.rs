//! What the kernel is to drop before it is queued, and when. Knows kinds by their number, never what a frame says.
//!
//! A queue that is full of a flood loses honest datagrams in the same proportion, whatever the loop does first. So while
//! the loop cannot keep up, a classic BPF program on the socket sheds, in this order: what is none of the server's, then
//! more and more of what strangers send. Whoever names a session that was not given to his address is a stranger: the
//! mark in it says so. What registered peers send is not shed, but for those that go on far beyond their limit. While the
//! loop keeps up there is no program: every datagram is seen, counted and named.

use std::fmt;
use std::time::Duration;

use roundtable_proto::server::Offender;
use roundtable_proto::{Instant, proxy};

/// Time from one step up to the next: what was queued before a step has to be worked off first, by the deepest queue in
/// about this time.
const STEP_UP: Duration = Duration::from_millis(200);
/// Time between two looks at what the program drops, once the loop keeps up.
const LOOK: Duration = Duration::from_secs(1);
/// The flood still lasts, but may have changed: one step down after so much calm, to see. Each time that was too soon it is
/// twice as long before the next.
const STEP_DOWN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(16));
/// A step down was too soon if the loop does not keep up within so long.
const TOO_SOON: Duration = Duration::from_secs(1);
/// With fewer dropped in a second the program has nothing left to do: the loop serves them in a few milliseconds.
const IDLE: u64 = 2000;

/// A peer that sends so much beyond its limit in one [`STEP_UP`] floods: 500 frames a second that get no answer.
const FLOODING: u32 = 100;
/// A peer that floods is not heard for so long, and then again as long if it still does.
const BLOCKED: Duration = Duration::from_secs(10);
/// Peers that are not heard at one time, at most.
const BLOCKED_MAX: usize = 128;

/// How much is shed: nothing, what is not ours, and of strangers' datagrams all but one in 4, 16, 64, 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Level {
    pub(crate) const NOTHING: Self = Self(0);
    #[cfg(test)]
    pub(crate) const LEAST: Self = Self(1);
    const MOST: Self = Self(5);

    /// Of so many strangers' datagrams one passes.
    pub(crate) const fn one_in(self) -> u32 {
        1 << (2 * self.0.saturating_sub(1))
    }

    fn up(self) -> Self {
        Self(self.0 + 1).min(Self::MOST)
    }

    const fn down(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (*self, self.one_in()) {
            (Self::NOTHING, _) => f.write_str("nothing"),
            (_, 1) => f.write_str("what is not for this server"),
            (_, one_in) => {
                write!(f, "what is not for this server, and of strangers' all but one in {one_in}")
            }
        }
    }
}

/// A peer that is not heard, and until when.
#[derive(Clone, Copy, Debug)]
struct Blocked {
    who: Offender,
    until: Instant,
}

/// Decides how much is shed.
#[derive(Debug)]
pub(crate) struct Shedder {
    level: Level,
    blocked: Vec<Blocked>,
    /// When peers that flood were last asked for.
    asked: Instant,
    changed: Instant,
    /// The last sign that the loop does not keep up.
    saturated: Instant,
    /// Calm before the next step down.
    patience: Duration,
    /// The last change was a step down.
    is_trying: bool,
    looked: Instant,
    /// What had been dropped then; none before the first look.
    drops: Option<u64>,
}

impl Shedder {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            level: Level::NOTHING,
            blocked: Vec::new(),
            asked: now,
            changed: now,
            saturated: now,
            patience: STEP_DOWN.0,
            is_trying: false,
            looked: now,
            drops: None,
        }
    }

    /// What is shed now.
    pub(crate) fn orders(&self) -> Orders {
        Orders { level: self.level, blocked: self.blocked.iter().map(|one| one.who).collect() }
    }

    /// Takes a sign that the loop does not keep up. `offenders` gives the peers that flooded since it was last asked, given
    /// what counts as flooding. Tells whether the orders are others now.
    #[must_use]
    pub(crate) fn handle_saturation<I: Iterator<Item = Offender>>(
        &mut self,
        now: Instant,
        offenders: impl FnOnce(u32) -> I,
    ) -> bool {
        self.saturated = now;
        if std::mem::take(&mut self.is_trying) {
            let was_too_soon = now.since(self.changed) < TOO_SOON;
            self.patience = if was_too_soon { (self.patience * 2).min(STEP_DOWN.1) } else { STEP_DOWN.0 };
        }
        if self.level == Level::NOTHING {
            // What they did before is of another time.
            self.asked = now;
            let _forgotten = offenders(u32::MAX).count();
            return self.change(now, self.level.up());
        }
        let were_blocked = self.blocked.len();
        if now.since(self.asked) >= STEP_UP {
            self.asked = now;
            for who in offenders(FLOODING) {
                // What a blocked one had sent before is still in the queue.
                let is_new = self.blocked.iter().all(|one| one.who != who);
                if is_new && self.blocked.len() < BLOCKED_MAX {
                    self.blocked.push(Blocked { who, until: now + BLOCKED });
                }
            }
        }
        let may_rise = now.since(self.changed) >= STEP_UP;
        (may_rise && self.change(now, self.level.up())) | (self.blocked.len() > were_blocked)
    }

    /// Does what is due. `drops` reads the kernel's count of what was dropped, if it tells. Tells whether the orders are
    /// others now.
    #[must_use]
    pub(crate) fn handle_timeout(&mut self, now: Instant, drops: impl FnOnce() -> Option<u64>) -> bool {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return false;
        }
        let (passed, before) = (now.since(self.looked), self.drops);
        (self.looked, self.drops) = (now, drops());
        let calm = now.since(self.saturated.max(self.changed));
        if let (Some(before), Some(after)) = (before, self.drops)
            && calm >= LOOK
            && u128::from(after.saturating_sub(before)) * 1000 < u128::from(IDLE) * passed.as_millis()
        {
            self.patience = STEP_DOWN.0;
            self.blocked.clear();
            return self.change(now, Level::NOTHING);
        }
        let were_blocked = self.blocked.len();
        self.blocked.retain(|one| now < one.until);
        let are_heard_again = self.blocked.len() < were_blocked;
        if calm < self.patience {
            return are_heard_again;
        }
        self.is_trying = true;
        self.change(now, self.level.down()) | are_heard_again
    }

    /// Says when [`Shedder::handle_timeout`] wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.level != Level::NOTHING).then(|| self.looked + LOOK)
    }

    fn change(&mut self, now: Instant, level: Level) -> bool {
        if level == self.level {
            return false;
        }
        if self.level == Level::NOTHING {
            (self.looked, self.drops) = (now, None);
        }
        (self.level, self.changed) = (level, now);
        true
    }
}

/// What the kernel is to shed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) level: Level,
    pub(crate) blocked: Vec<Offender>,
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.level.fmt(f)?;
        match self.blocked.len() {
            0 => Ok(()),
            count => write!(f, ", and {count} peers that flood"),
        }
    }
}

/// What a server takes besides frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// STUN Binding requests.
    pub(crate) stun: bool,
    /// Datagrams behind the header of a proxy.
    pub(crate) proxy: Option<proxy::Protocol>,
}

#[cfg(target_os = "linux")]
pub(crate) use program::program;

#[cfg(target_os = "linux")]
mod program {
    //! The program itself: loads and comparisons, in the kernel's classic instruction set.

    use roundtable_proto::proxy::{Protocol, spp, v2};
    use roundtable_proto::server::{LAST_SHIFT, MARK, Marker, WORD_SHIFT};
    use roundtable_proto::wire::{Direction, Kind, MAGIC, VERSION};
    use socket2::SockFilter;

    use super::{Beside, Orders};

    // Instructions of linux/bpf_common.h. A load reads network order, and ends in a drop beyond the datagram's end.
    const LOAD_ANCILLARY: u16 = 0x20;
    const LOAD_WORD: u16 = 0x40;
    const LOAD_HALF: u16 = 0x48;
    const LOAD_BYTE: u16 = 0x50;
    const SET_INDEX: u16 = 0x01;
    const LOAD_WORD_HERE: u16 = 0x20;
    const LOAD_HALF_HERE: u16 = 0x28;
    const LOAD_BYTE_HERE: u16 = 0x30;
    const ADD: u16 = 0x04;
    const MULTIPLY: u16 = 0x24;
    const SHIFT_RIGHT: u16 = 0x74;
    const XOR_INDEX: u16 = 0xAC;
    const TO_INDEX: u16 = 0x07;
    const AND: u16 = 0x54;
    const EQUAL: u16 = 0x15;
    const EQUAL_INDEX: u16 = 0x1D;
    const ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    /// Where a load finds a random number: SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h.
    const RANDOM: u32 = 0xFFFF_F000 + 56;
    /// The program of a UDP socket sees the UDP header before the payload.
    const PAYLOAD: u32 = 8;
    /// Loads from here on find the IP header: SKF_NET_OFF of linux/filter.h.
    const IP: u32 = 0xFFF0_0000;
    /// Where the source address lies in the IP header, and in how many words. RFC 791, 3.1; RFC 8200, 3
    const SOURCES: [(u32, u32); 2] = [(12, 1), (8, 4)];
    /// The upper half of the first byte of an IPv6 header.
    const IPV6: u32 = 0x60;
    const UPPER_HALF: u32 = 0xF0;
    /// Where a session starts in a frame that has one, and its mark. SPEC 2 and 12
    const SESSION: u32 = 4;
    const SESSION_MARK: u32 = SESSION + 16 - MARK as u32;
    /// Place and value of STUN's magic cookie. RFC 8489, 5
    const STUN_COOKIE: (u32, u32) = (4, 0x2112_A442);
    /// The two bits that are zero in STUN. RFC 8489, 5
    const STUN_ZEROS: u32 = 0xC0;
    /// Where a header of version 2 has its length.
    const PROXY_LENGTH: u32 = v2::PREFIX as u32 - 2;

    /// Where to go on.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum To {
        Next,
        /// It begins like no frame.
        Foreign,
        /// It has a session.
        Peer,
        /// Its source is an IPv6 address.
        Ipv6,
        /// The address of its source is hashed.
        Hashed,
        /// Anybody may have sent it.
        Stranger,
        /// A peer that floods has sent it.
        Blocked,
        /// Another peer has sent it.
        NotBlocked,
        /// What a client sent begins here.
        Frame,
        Accept,
        Drop,
    }

    #[derive(Default)]
    struct Assembly {
        steps: Vec<(u16, u32, To, To)>,
        labels: Vec<(To, usize)>,
    }

    impl Assembly {
        fn step(&mut self, code: u16, operand: u32) {
            self.test(code, operand, To::Next, To::Next);
        }

        fn test(&mut self, code: u16, operand: u32, yes: To, no: To) {
            self.steps.push((code, operand, yes, no));
        }

        /// What comes now is where these go on.
        fn label(&mut self, to: To) {
            self.labels.push((to, self.steps.len()));
        }

        fn finish(self) -> Vec<SockFilter> {
            let place = |to| self.labels.iter().find(|(label, _)| *label == to).map(|(_, place)| *place);
            // Jumps count from the next instruction, and only forward; no program here has 256 with all
            // whom it may block.
            let jump = |from: usize, to| place(to).map_or(0, |place| (place - from - 1) as u8);
            let steps = self.steps.iter().enumerate();
            steps
                .map(|(at, (code, operand, yes, no))| {
                    SockFilter::new(*code, jump(at, *yes), jump(at, *no), *operand)
                })
                .collect()
        }
    }

    /// Writes the program for these orders. Of a train that the kernel has joined (one source, one length) the first datagram
    /// speaks for all.
    pub(crate) fn program(orders: &Orders, beside: Beside, marker: &Marker) -> Vec<SockFilter> {
        let mut assembly = Assembly::default();
        assembly.step(SET_INDEX, PAYLOAD);
        if let Some(protocol) = beside.proxy {
            write_header(&mut assembly, protocol);
        }
        assembly.label(To::Frame);
        write_frames(&mut assembly);
        assembly.label(To::Foreign);
        if beside.stun {
            assembly.step(LOAD_BYTE, 0);
            assembly.test(ANY_BIT, STUN_ZEROS, To::Drop, To::Next);
            assembly.step(LOAD_WORD, STUN_COOKIE.0);
            assembly.test(EQUAL, STUN_COOKIE.1, To::Stranger, To::Drop);
        } else {
            assembly.step(RETURN, 0);
        }
        assembly.label(To::Peer);
        // Behind a proxy the IP header has the proxy's address.
        if beside.proxy.is_none() {
            write_mark(&mut assembly, marker);
            assembly.step(SET_INDEX, PAYLOAD);
        }
        write_blocked(&mut assembly, orders);
        assembly.step(RETURN, u32::MAX);
        assembly.label(To::Stranger);
        assembly.step(LOAD_ANCILLARY, RANDOM);
        assembly.step(AND, orders.level.one_in() - 1);
        assembly.test(EQUAL, 0, To::Accept, To::Drop);
        assembly.label(To::Accept);
        assembly.step(RETURN, u32::MAX);
        assembly.label(To::Drop);
        assembly.step(RETURN, 0);
        assembly.finish()
    }

    /// Compares the mark in the session with that of the source.
    fn write_mark(assembly: &mut Assembly, marker: &Marker) {
        assembly.step(LOAD_BYTE_HERE, IP);
        assembly.step(AND, UPPER_HALF);
        assembly.test(EQUAL, IPV6, To::Ipv6, To::Next);
        for ((start, words), begun) in SOURCES.into_iter().zip(marker.family) {
            // The source port is the first field of the UDP header.
            assembly.step(LOAD_HALF_HERE, 0);
            assembly.step(MULTIPLY, marker.port);
            assembly.step(ADD, begun);
            for word in 0..words {
                assembly.step(TO_INDEX, 0);
                assembly.step(LOAD_WORD_HERE, IP + start + 4 * word);
                assembly.step(XOR_INDEX, 0);
                write_round(assembly, marker.word, WORD_SHIFT);
            }
            if words == 1 {
                assembly.test(EQUAL, 0, To::Hashed, To::Hashed);
                assembly.label(To::Ipv6);
            }
        }
        assembly.label(To::Hashed);
        write_round(assembly, marker.last, LAST_SHIFT);
        assembly.step(TO_INDEX, 0);
        assembly.step(LOAD_WORD_HERE, PAYLOAD + SESSION_MARK);
        assembly.test(EQUAL_INDEX, 0, To::Next, To::Stranger);
    }

    /// h = h * factor; h = h ^ h >> shift
    fn write_round(assembly: &mut Assembly, factor: u32, shift: u32) {
        assembly.step(MULTIPLY, factor);
        assembly.step(TO_INDEX, 0);
        assembly.step(SHIFT_RIGHT, shift);
        assembly.step(XOR_INDEX, 0);
    }

    /// Drops what peers send that flood.
    fn write_blocked(assembly: &mut Assembly, orders: &Orders) {
        if orders.blocked.is_empty() {
            return;
        }
        assembly.step(LOAD_WORD, SESSION);
        for offender in &orders.blocked {
            assembly.test(EQUAL, offender.0, To::Blocked, To::Next);
        }
        assembly.test(EQUAL, 0, To::NotBlocked, To::NotBlocked);
        assembly.label(To::Blocked);
        assembly.step(RETURN, 0);
        assembly.label(To::NotBlocked);
    }

    /// Skips the header of a proxy, where there is one. Whose it is, the program does not ask: who forges it gets no further
    /// than without.
    fn write_header(assembly: &mut Assembly, protocol: Protocol) {
        match protocol {
            Protocol::Spp => {
                assembly.step(LOAD_HALF, 0);
                assembly.test(EQUAL, u16::from_be_bytes(spp::MAGIC).into(), To::Next, To::Frame);
                assembly.step(SET_INDEX, PAYLOAD + spp::HEADER as u32);
            }
            Protocol::V2 => {
                let [a, b, c, d, ..] = v2::SIGNATURE;
                assembly.step(LOAD_WORD, 0);
                assembly.test(EQUAL, u32::from_be_bytes([a, b, c, d]), To::Next, To::Frame);
                assembly.step(LOAD_HALF, PROXY_LENGTH);
                assembly.step(ADD, PAYLOAD + v2::PREFIX as u32);
                assembly.step(TO_INDEX, 0);
            }
        }
    }

    /// Tells by the kind who may have sent it. Who speaks another version is a stranger.
    fn write_frames(assembly: &mut Assembly) {
        assembly.step(LOAD_HALF, 0);
        assembly.test(EQUAL, u16::from_be_bytes(MAGIC).into(), To::Next, To::Foreign);
        assembly.step(LOAD_BYTE, 2);
        assembly.test(EQUAL, VERSION.into(), To::Next, To::Stranger);
        assembly.step(LOAD_BYTE, 3);
        for kind in Kind::ALL.iter().filter(|kind| kind.direction() == Direction::In) {
            let to = if kind.has_session() { To::Peer } else { To::Stranger };
            assembly.test(EQUAL, kind.number().into(), to, To::Next);
        }
        assembly.step(RETURN, 0);
    }
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
