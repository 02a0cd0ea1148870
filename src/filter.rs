//! What the kernel is to drop before it is queued, and when. Knows kinds by their number, never what a frame says.
//!
//! A queue that is full of a flood loses honest datagrams in the same proportion, whatever the loop does first. So while
//! the loop cannot keep up, a classic BPF program on the socket sheds, in this order: what is none of the server's, then
//! more and more of what strangers send. What registered peers send is never shed. While the loop keeps up there is no
//! program: every datagram is seen, counted and named.

use std::fmt;
use std::time::Duration;

use roundtable_proto::Instant;

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

/// How much is shed: nothing, what is not ours, and of strangers' datagrams all but one in 4, 16, 64, 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(u8);

impl Level {
    pub(crate) const NOTHING: Self = Self(0);
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

/// Decides how much is shed.
#[derive(Debug)]
pub(crate) struct Shedder {
    level: Level,
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
            changed: now,
            saturated: now,
            patience: STEP_DOWN.0,
            is_trying: false,
            looked: now,
            drops: None,
        }
    }

    /// Takes a sign that the loop does not keep up. Gives the new level if there is to be another.
    pub(crate) fn handle_saturation(&mut self, now: Instant) -> Option<Level> {
        self.saturated = now;
        if std::mem::take(&mut self.is_trying) {
            let was_too_soon = now.since(self.changed) < TOO_SOON;
            self.patience = if was_too_soon { (self.patience * 2).min(STEP_DOWN.1) } else { STEP_DOWN.0 };
        }
        let may_rise = self.level == Level::NOTHING || now.since(self.changed) >= STEP_UP;
        if may_rise { self.change(now, self.level.up()) } else { None }
    }

    /// Does what is due. `drops` reads the kernel's count of what was dropped, if it tells.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        drops: impl FnOnce() -> Option<u64>,
    ) -> Option<Level> {
        if self.poll_timeout().is_none_or(|at| now < at) {
            return None;
        }
        let (passed, before) = (now.since(self.looked), self.drops);
        (self.looked, self.drops) = (now, drops());
        let calm = now.since(self.saturated.max(self.changed));
        if let (Some(before), Some(after)) = (before, self.drops)
            && calm >= LOOK
            && u128::from(after.saturating_sub(before)) * 1000 < u128::from(IDLE) * passed.as_millis()
        {
            self.patience = STEP_DOWN.0;
            return self.change(now, Level::NOTHING);
        }
        if calm < self.patience {
            return None;
        }
        self.is_trying = true;
        self.change(now, self.level.down())
    }

    /// Says when [`Shedder::handle_timeout`] wants to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (self.level != Level::NOTHING).then(|| self.looked + LOOK)
    }

    fn change(&mut self, now: Instant, level: Level) -> Option<Level> {
        if level == self.level {
            return None;
        }
        if self.level == Level::NOTHING {
            (self.looked, self.drops) = (now, None);
        }
        (self.level, self.changed) = (level, now);
        Some(level)
    }
}

/// What a server takes besides frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    /// STUN Binding requests.
    pub(crate) stun: bool,
    /// Everything comes behind the header of a proxy.
    pub(crate) proxy: bool,
}

#[cfg(target_os = "linux")]
pub(crate) use program::program;

#[cfg(target_os = "linux")]
mod program {
    //! The program itself: loads and comparisons, in the kernel's classic instruction set.

    use roundtable_proto::wire::{Direction, Kind, MAGIC, VERSION};
    use socket2::SockFilter;

    use super::{Beside, Level};

    // Instructions of linux/bpf_common.h. A load reads network order, and ends in a drop beyond the datagram's end.
    const LOAD_ANCILLARY: u16 = 0x20;
    const LOAD_WORD: u16 = 0x40;
    const LOAD_HALF: u16 = 0x48;
    const LOAD_BYTE: u16 = 0x50;
    const SET_INDEX: u16 = 0x01;
    const AND: u16 = 0x54;
    const EQUAL: u16 = 0x15;
    const ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    /// Where a load finds a random number: SKF_AD_OFF + SKF_AD_RANDOM of linux/filter.h.
    const RANDOM: u32 = 0xFFFF_F000 + 56;
    /// The program of a UDP socket sees the UDP header before the payload.
    const PAYLOAD: u32 = 8;
    /// Place and value of STUN's magic cookie. RFC 8489, 5
    const STUN_COOKIE: (u32, u32) = (4, 0x2112_A442);
    /// The two bits that are zero in STUN. RFC 8489, 5
    const STUN_ZEROS: u32 = 0xC0;
    /// Magic and length of a header of the Simple Proxy Protocol.
    const PROXY: (u32, u32) = (0x56EC, 38);

    /// Where to go on.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum To {
        Next,
        /// It begins like no frame.
        Foreign,
        /// Anybody may have sent it.
        Stranger,
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
            // Jumps count from the next instruction, and only forward; no program here has 256.
            let jump = |from: usize, to| place(to).map_or(0, |place| (place - from - 1) as u8);
            let steps = self.steps.iter().enumerate();
            steps
                .map(|(at, (code, operand, yes, no))| {
                    SockFilter::new(*code, jump(at, *yes), jump(at, *no), *operand)
                })
                .collect()
        }
    }

    /// Writes the program of a level. Of a train that the kernel has joined (one source, one length) the first datagram
    /// speaks for all.
    pub(crate) fn program(level: Level, beside: Beside) -> Vec<SockFilter> {
        let mut assembly = Assembly::default();
        assembly.step(SET_INDEX, PAYLOAD);
        if beside.proxy {
            assembly.step(LOAD_HALF, 0);
            assembly.test(EQUAL, PROXY.0, To::Next, To::Drop);
            assembly.step(SET_INDEX, PAYLOAD + PROXY.1);
        }
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
        assembly.label(To::Stranger);
        assembly.step(LOAD_ANCILLARY, RANDOM);
        assembly.step(AND, level.one_in() - 1);
        assembly.test(EQUAL, 0, To::Accept, To::Drop);
        assembly.label(To::Accept);
        assembly.step(RETURN, u32::MAX);
        assembly.label(To::Drop);
        assembly.step(RETURN, 0);
        assembly.finish()
    }

    /// Tells by the kind who may have sent it. Who speaks another version is a stranger.
    fn write_frames(assembly: &mut Assembly) {
        assembly.step(LOAD_HALF, 0);
        assembly.test(EQUAL, u16::from_be_bytes(MAGIC).into(), To::Next, To::Foreign);
        assembly.step(LOAD_BYTE, 2);
        assembly.test(EQUAL, VERSION.into(), To::Next, To::Stranger);
        assembly.step(LOAD_BYTE, 3);
        for kind in Kind::ALL.iter().filter(|kind| kind.direction() == Direction::In) {
            let to = if kind.has_session() { To::Accept } else { To::Stranger };
            assembly.test(EQUAL, kind.number().into(), to, To::Next);
        }
        assembly.step(RETURN, 0);
    }
}

#[cfg(test)]
#[path = "filter/tests.rs"]
mod tests;
