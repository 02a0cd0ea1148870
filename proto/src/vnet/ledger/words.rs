//! Every datagram has one meaning, every refusal a word, and every outcome is what was sent. SPEC 2, 9

use super::{Breach, Handled, Sent};
use crate::server::Outcome;
use crate::wire::{self, Direction, ErrorCode, Frame, Kind, Refusal};

/// Reads a datagram that may be no frame, but if it is one must re-encode to the same bytes.
pub(super) fn canonical(datagram: &[u8]) -> Result<Option<Frame<'_>>, Breach> {
    let Ok(frame) = wire::decode(datagram) else { return Ok(None) };
    if frame.to_vec() == datagram { Ok(Some(frame)) } else { Err(Breach::NotCanonical) }
}

/// Reads what the server sent: frames, and only of kinds that a server sends.
pub(super) fn all_canonical(sent: &[Sent]) -> Result<Vec<Frame<'_>>, Breach> {
    sent.iter()
        .map(|sent| match canonical(&sent.contents)? {
            Some(frame) if frame.kind().direction() == Direction::Out => Ok(frame),
            Some(_) | None => Err(Breach::BadFrameSent),
        })
        .collect()
}

/// Checks that an outcome and what was sent are the same thing.
pub(super) fn fit_outcome(handled: &Handled<'_>, frames: &[Frame<'_>]) -> Result<(), Breach> {
    let outcome = handled.outcome;
    let told = |kind: Kind| {
        handled.sent.len() == 1 && handled.sent[0].to == handled.from && frames[0].kind() == kind
    };
    let fits = match outcome {
        Outcome::Answered(kind) => told(kind),
        Outcome::Challenged => told(Kind::Challenge),
        Outcome::Refused(code) => {
            told(Kind::Error)
                && matches!(frames, [Frame::Error(error)] if error.code == code.number() && says_when(code, error))
        }
        Outcome::Relayed(Kind::Punch) => {
            frames.len() == 2 && frames.iter().all(|frame| frame.kind() == Kind::PunchNow)
        }
        Outcome::Relayed(kind) => matches!(frames, [frame] if Some(frame.kind()) == relayed(kind)),
        // Entered elsewhere: no frame of this protocol.
        Outcome::Stun => false,
        Outcome::Dropped(_) => frames.is_empty(),
    };
    if fits { Ok(()) } else { Err(Breach::OutcomeUnfit { outcome }) }
}

/// Whoever asks too much is told when to come back.
const fn says_when(code: ErrorCode, error: &Refusal) -> bool {
    !matches!(code, ErrorCode::RateLimited | ErrorCode::TooManyOffers | ErrorCode::ServerFull)
        || error.retry_after > 0
}

/// Returns what a kind becomes on its way through the server: bit 7 is set.
fn relayed(kind: Kind) -> Option<Kind> {
    Kind::from_number(kind.number() | 0x80)
}
