//! The numbers of a client: times, windows and bounds. SPEC 10, where it names them.

use std::time::Duration;

use crate::wire::FRAGMENTS_MAX;

/// Between KEEPALIVEs, +-10 %: real mappings live 30 s. SPEC 5
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Never less between KEEPALIVEs, however short the server's memory is.
pub const KEEPALIVE_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// KEEPALIVEs sent within the time after which the server forgets, at least.
pub const KEEPALIVES_PER_TTL: u32 = 3;
/// A cookie is accepted for this long. SPEC 5
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(60);
/// A ticket is accepted for this long; the registration is renewed when half of it is over. SPEC 5
pub const TICKET_LIFETIME: Duration = Duration::from_secs(3600);
/// REGISTERs or PINGs without an answer after which the server counts as silent. SPEC 5
pub const SILENT_AFTER: u32 = 3;
/// KEEPALIVEs without an answer after which the server counts as silent: where a fifth of everything is lost on either
/// way, three are lost in a row every seven minutes. SPEC 5
pub const KEEPALIVES_MAX: u32 = 6;
/// REGISTERs that are repeated after [`RTO_INITIAL`] before the time doubles, where no crowd does the same: a client
/// that holds no session is new, and one with a cookie has just heard the server. SPEC 5
pub const REGISTERS_EAGER: u32 = 30;
/// UNREGISTERs sent before the client goes without an answer. SPEC 5
pub const UNREGISTERS_MAX: u32 = 3;
/// Cookies in a row that the server may refuse before the next REGISTER waits for its timer.
pub const CHALLENGES_AT_ONCE: u32 = 4;

/// Retransmission timeout before the first measurement. SPEC 7
pub const RTO_INITIAL: Duration = Duration::from_millis(500);
/// Retransmission timeouts in a row without any acknowledgement before the timeout doubles: a single one is more often
/// a lost acknowledgement than a lost path. SPEC 7
pub const SILENT_TIMEOUTS: u32 = 1;
/// The same for a transfer of few pieces: backing off keeps trains from filling a link, and these are none. Where half of
/// everything is lost on each of two ways, a fragment passes once in four times. SPEC 7
pub const SILENT_TIMEOUTS_OF_FEW: u32 = 16;
/// So many pieces are few. SPEC 7
pub const FEW_PIECES: usize = 4;
/// Lower bound of the retransmission timeout. SPEC 7
pub const RTO_MIN: Duration = Duration::from_millis(100);
/// Upper bound of the retransmission timeout. SPEC 7
pub const RTO_MAX: Duration = Duration::from_secs(1);
/// Upper bound between two REGISTERs to a silent server. SPEC 5
pub const REGISTER_RTO_MAX: Duration = Duration::from_secs(8);

/// Fragments that are acknowledged at once, however short the time since the first of them. SPEC 7
pub const ACK_EVERY: u32 = 8;
/// Before an incomplete blob is acknowledged. SPEC 7
pub const ACK_DELAY: Duration = Duration::from_millis(10);
/// Before an incomplete blob is acknowledged again, doubling. One acknowledgement answers a whole train, so a lost one
/// stops the sender for a retransmission timeout; at 30 % loss a hop this repeat halves the time of a transfer. SPEC 7
pub const NUDGE: Duration = Duration::from_millis(50);
/// Fragments in flight at first. SPEC 7
pub const WINDOW_INITIAL: usize = 16;
/// Fragments in flight that loss leaves at least. With 4, a blob of 64 KiB did not always pass 30 % loss a hop within the
/// time of an offer. SPEC 7
pub const WINDOW_MIN: usize = 8;
/// Fragments in flight, at most: a whole blob. SPEC 7
pub const WINDOW_MAX: usize = FRAGMENTS_MAX;
/// Fragments sent later and acknowledged, beyond which one is lost. SPEC 7
pub const REORDER_THRESHOLD: usize = 3;

/// How long an offer waits for its answer until a server has said otherwise. SPEC 6
pub const OFFER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client waits beyond the server's timeout. SPEC 6
pub const OFFER_MARGIN: Duration = Duration::from_secs(2);
/// Between repeats of the last OFFER fragment. SPEC 6
pub const OFFER_REPEAT: Duration = Duration::from_secs(2);
/// How long these repeats go on after the answer is complete. SPEC 6
pub const OFFER_LINGER: Duration = Duration::from_secs(5);

/// Offers that are reassembled at once. SPEC 7
pub const REASSEMBLIES_MAX: usize = 16;
/// Offers of one source that are reassembled or wait for the application at once. SPEC 7
pub const REASSEMBLIES_PER_PEER: usize = 4;
/// Calls remembered to suppress duplicates. SPEC 6
pub const FINISHED_MAX: usize = 256;
/// Calls that a client holds at once. SPEC 7
pub const CALLS_MAX: usize = 64;
/// Calls of others among them: the rest is kept for own ones.
pub const INCOMING_CALLS_MAX: usize = 48;
/// Candidates of one call and direction: bits of a bitmap. SPEC 7
pub const CANDIDATES_MAX: usize = FRAGMENTS_MAX;

/// Between PROBEs. SPEC 8
pub const PROBE_INTERVAL: Duration = Duration::from_millis(50);
/// Between PUNCHes until the other peer is heard: either PUNCH_NOW may be lost. Not backed off: where half of everything
/// is lost on both ways, all of those in [`PROBE_TIME`] are lost once in 400,000 times. SPEC 8
pub const PUNCH_INTERVAL: Duration = Duration::from_millis(100);
/// After which punching has failed. SPEC 8
pub const PROBE_TIME: Duration = Duration::from_millis(4500);
/// That a peer probes an address at least, which it learns of when [`PROBE_TIME`] is almost over. SPEC 8
pub const PROBE_TIME_MIN: Duration = Duration::from_secs(2);
/// For which the first PROBEs to an IPv4 address have a low hop limit, at most: they open the own NAT and die before the
/// other one, which might take them for its own. SPEC 8
pub const OPENING_TIME: Duration = Duration::from_millis(500);
/// Added to the other peer's round trip to the server, where that is known, for the same purpose. SPEC 8
pub const OPENING_MARGIN: Duration = Duration::from_millis(50);
/// That hop limit: it leaves a NAT and a carrier's behind it. SPEC 8
pub const OPENING_HOPS: u8 = 3;
/// That hop limit for [`OPENING_TIME`] once either port is a fresh one: the other NAT may have been nearer than thought. SPEC 8
pub const OPENING_HOPS_NEAR: u8 = 2;
/// The same for as long after that: the own NAT may be farther than thought. SPEC 8
pub const OPENING_HOPS_FAR: u8 = 5;
/// After which a peer that has heard nothing asks for a fresh port. SPEC 8
pub const FRESH_PORT_TIME: Duration = Duration::from_secs(1);
/// Between questions for consent on a path, +-20 %. RFC 7675, SPEC 8
pub const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
/// Without consent a path is lost after this. RFC 7675, SPEC 8
pub const CONSENT_TIME: Duration = Duration::from_secs(30);
/// Questions for consent whose answer is still recognised: as many as are sent in [`CONSENT_TIME`].
pub const CONSENTS_MAX: usize = 8;
/// Addresses that a peer names for itself, at most. SPEC 8
pub const HOSTS_MAX: usize = 8;
/// Addresses of the other peer that are tried, at most: named by it, by the server, and those that its PROBEs come from.
pub const CHECKS_MAX: usize = 16;
/// Between the first PROBEs to different addresses. RFC 8445 section 14.2
pub const CHECK_APART: Duration = Duration::from_millis(5);
/// Between PROBEs to an address that the other peer named. SPEC 8
pub const HOST_INTERVAL: Duration = Duration::from_millis(100);
/// PROBEs to such an address, at most: it may be anybody's. SPEC 8
pub const HOST_PROBES: u32 = 20;
/// How long the caller waits for a better path after the first is proved. SPEC 8
pub const NOMINATE_WAIT: Duration = Duration::from_millis(150);
/// Between PINGs to a second address. SPEC 8
pub const WITNESS_INTERVAL: Duration = Duration::from_millis(200);
/// PINGs to it, at most, for one search for a path.
pub const WITNESS_PINGS: usize = 10;
/// PROBEs whose answer is still recognised; the oldest are forgotten first.
pub const PROBES_MAX: usize = 128;

/// Events that wait for the application; beyond it datagrams are dropped until it has taken some.
pub const EVENTS_MAX: usize = 1024;
/// Answers that wait to be sent; beyond it further ones are dropped, and the peer repeats its question.
pub const REPLIES_MAX: usize = 256;
