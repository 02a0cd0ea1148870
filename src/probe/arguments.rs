//! What may stand on the probe's command line, and the help for it.

use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use roundtable_proto::nat::Verdict;
use roundtable_proto::peer_address::ServerName;
use roundtable_proto::wire::PeerId;

use super::bench::Bench;
use super::datagram::{Assignment, InputForm, Notation};
use super::parsing::{calls, count, key_file, plain, seconds, server_name, stay};

/// Speak the Roundtable signalling protocol: find out whether a server answers, who is registered, and why a call
/// does not come about.
///
/// SERVER is a name or an address, with a port unless it is 1066: rendezvous.example, 198.51.100.7:4000, [2001:db8::1]:1066.
/// Exit codes: 0 done, 1 failed on this machine, 2 wrong usage, 3 no answer, 4 refused by the server, 5 the call
/// failed, 6 declined, 7 done, but not all is as it should be.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    note = "With --json every line is an object with event, at_ms (since the start), and what the help of the \
               command lists.\nWhat ends a command with an exit code from 1 on is then the last line: failed: kind, message"
)]
pub(super) struct Arguments {
    /// print one JSON object a line instead of text
    #[argh(switch)]
    pub(super) json: bool,
    /// write every datagram to this file, as pcapng for Wireshark or decode; offers and answers only by their length
    #[argh(option)]
    pub(super) capture: Option<PathBuf>,
    /// write offers and answers there whole
    #[argh(switch)]
    pub(super) capture_blobs: bool,
    /// print the version and end
    #[argh(switch)]
    pub(super) version: bool,
    #[argh(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(super) enum Command {
    Ping(Ping),
    Nat(Nat),
    Register(Register),
    Listen(Listen),
    Call(Call),
    Id(Id),
    Inspect(Inspect),
    Doctor(Doctor),
    Diagnose(Diagnose),
    Encode(Encode),
    Decode(Decode),
    Watch(Watch),
    Papers(Papers),
    Demo(Demo),
    Bench(Bench),
}

/// Send PINGs: round trip, loss and the address under which the server sees this host.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "ping",
    note = "With --json:\n\
            pong: number, server, round_trip_ms, observed\n\
            lost: number\n\
            done: sent, answered, least_ms, most_ms"
)]
pub(super) struct Ping {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// how many PINGs, 1 to 1000 (default 4)
    #[argh(option, default = "4", from_str_fn(count))]
    pub(super) count: u32,
    /// seconds to wait for each answer, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Find out how this host's NAT behaves (RFC 4787), and whether a direct path to another host will come about. The server
/// needs altport; with altaddress too it tells more.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "nat",
    note = "With --json:\n\
            nat: verdict, udp, and if it passes public, translated, mapping, filtering, keeps_port, hairpin, elsewhere\n\
            forecast: forecast (direct, direct_if_this_starts, direct_if_other_starts, direct_unless_mapped_by_address,\n\
            local_network, unknown, relay_needed), reason"
)]
pub(super) struct Nat {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// another STUN server, on another network: shows where UDP passes to the first alone
    #[argh(option)]
    pub(super) second: Option<String>,
    /// the other side's verdict: forecast whether there will be a direct path
    #[argh(option)]
    pub(super) with: Option<Verdict>,
}

/// Register an identifier and show what the server says; end the registration again.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "register",
    note = "With --json:\n\
            key_made: file\n\
            registered: server, id, observed, timeout_s, maxblob\n\
            changed: state\n\
            unregistered: -"
)]
pub(super) struct Register {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// plain identifier: a UUID (default: a random one)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
    /// seconds to stay registered, 0 to 3600 (default 0)
    #[argh(option, default = "0", from_str_fn(stay))]
    pub(super) stay: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Wait for offers and answer them: with a file, with what was offered, or by declining.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "listen",
    note = "Callers who have a key are shown with their name in the contacts (see the help of call).\n\
            With --json:\n\
            key_made: file\n\
            listening: id, observed, address\n\
            progress: offer, from, transfer, fragments, of_fragments, bytes, of_bytes, took_ms\n\
            offered: offer, from, observed, bytes, sealed\n\
            offer_incomplete: offer, from, fragments, of_fragments\n\
            offer_refused: offer, from, reason\n\
            answered: offer, bytes, took_ms\n\
            declined: offer, took_ms\n\
            answer_failed: offer, reason\n\
            candidate: offer, number, message\n\
            path: offer, peer, kind, family, round_trip_ms\n\
            fresh_port: offer, port\n\
            path_lost: offer, peer\n\
            punch_failed: offer, reason\n\
            changed: state\n\
            unregistered: -"
)]
pub(super) struct Listen {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// plain identifier: a UUID (default: a random one)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
    /// answer with this file's content; - reads standard input (default: answer with the offer itself)
    #[argh(option)]
    pub(super) answer: Option<PathBuf>,
    /// hand each offer to this shell command on its standard input, and answer with its output; it declines with an exit
    /// code or no output, and finds ROUNDTABLE_FROM, ROUNDTABLE_OFFER, ROUNDTABLE_OBSERVED in its environment
    #[argh(option)]
    pub(super) exec: Option<String>,
    /// decline instead of answering
    #[argh(switch)]
    pub(super) decline: bool,
    /// end after so many calls, 1 to 1000000 (default: go on until interrupted)
    #[argh(option, from_str_fn(calls))]
    pub(super) count: Option<u32>,
    /// write each offer to a file named after its offer id in this directory, which is made if it is missing
    #[argh(option)]
    pub(super) save: Option<PathBuf>,
    /// another address of the server, or another server: asked too, to say whose NAT is in the way where there is no path
    #[argh(option)]
    pub(super) witness: Option<String>,
    /// seconds to go on showing what comes in an answered call, 0 to 3600 (default 6); after the last of --count calls that come
    /// meanwhile are declined
    #[argh(option, default = "6", from_str_fn(stay))]
    pub(super) follow: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Offer a file to a peer and show its answer, with the time of each step.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "call",
    note = "Contacts are lines NAME ADDRESS in ~/.config/roundtable/contacts, or in the file that ROUNDTABLE_CONTACTS names.\n\
            With --json:\n\
            key_made: file\n\
            skipped: server, reason\n\
            registered: id, observed\n\
            offering: offer, to, bytes, sealed\n\
            progress: offer, transfer, fragments, of_fragments, bytes, of_bytes, took_ms\n\
            delivered: offer, took_ms\n\
            answered: offer, bytes, observed, took_ms, and without --save answer\n\
            path: offer, peer, kind, family, round_trip_ms\n\
            fresh_port: offer, port\n\
            path_lost: offer, peer\n\
            punch_failed: offer, reason\n\
            candidate: offer, number, message\n\
            candidates_failed: offer, reason"
)]
pub(super) struct Call {
    /// the server; or, alone, the peer address that was handed out, which names its servers, or a name from the contacts
    #[argh(positional, arg_name = "server-or-address")]
    pub(super) target: String,
    /// whom to call at this server: an identifier, a peer address, or a name from the contacts
    #[argh(positional)]
    pub(super) peer: Option<String>,
    /// own plain identifier: a UUID (default: a random one)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: own keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
    /// offer this file's content; - reads standard input (default: -)
    #[argh(option, default = "PathBuf::from(\"-\")")]
    pub(super) offer: PathBuf,
    /// write the answer to this file instead of printing it
    #[argh(option)]
    pub(super) save: Option<PathBuf>,
    /// after the answer, punch a direct path and show it
    #[argh(switch)]
    pub(super) punch: bool,
    /// another address of the server, or another server: asked too, to say whose NAT is in the way where there is no path
    #[argh(option)]
    pub(super) witness: Option<String>,
    /// send each of these as a candidate after the answer; may be given several times
    #[argh(option)]
    pub(super) candidate: Vec<String>,
    /// seconds to go on showing what comes after the answer, 0 to 3600 (default 1); unless it is 0, at least 5 where the offer
    /// had to be repeated, so that the other side learns that its answer has come
    #[argh(option, default = "1", from_str_fn(stay))]
    pub(super) follow: u64,
    /// seconds to wait for the server, 1 to 60 (default 5)
    #[argh(option, default = "5", from_str_fn(seconds))]
    pub(super) timeout: u64,
}

/// Show an identifier and, with servers, the peer address to hand out: one line that `call` takes.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "id",
    note = "With --json:\n\
            key_made: file\n\
            identity: id, keyed\n\
            address: address, servers"
)]
pub(super) struct Id {
    /// where the identifier is to be found, the preferred server first
    #[argh(positional, arg_name = "server", from_str_fn(server_name))]
    pub(super) servers: Vec<ServerName>,
    /// plain identifier: a UUID (default: a random one)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
}

/// Say what a peer address or an identifier that was handed out holds, or what is damaged in it.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "inspect",
    note = "With --json:\n\
            identity: id, keyed\n\
            address: address, servers"
)]
pub(super) struct Inspect {
    /// the peer address or identifier
    #[argh(positional)]
    pub(super) text: String,
}

/// Examine everything between this machine and a server in ten seconds: name, clock, way, NAT, registration, length of
/// datagrams, a call to itself.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "doctor",
    note = "It ends with the exit code of the worst step: 7 for a warning.\nWith --json:\n\
            key_made: file\n\
            step: step, verdict, text, advice, details\n\
            verdict: verdict, cause, text"
)]
pub(super) struct Doctor {
    /// the server
    #[argh(positional)]
    pub(super) server: String,
    /// plain identifier to register: a UUID (default: a key that ends with this command)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
}

/// Find out why a call to a peer does not come about: call it, and say at which hop it stops. The peer rings.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "diagnose",
    note = "It ends with the exit code of the worst step: 7 for a warning.\nWith --json:\n\
            key_made: file\n\
            step: step, verdict, text, advice, details\n\
            verdict: verdict, cause, text"
)]
pub(super) struct Diagnose {
    /// whom to call: the peer address that was handed out, a name from the contacts, or an identifier with --server
    #[argh(option)]
    pub(super) peer: String,
    /// the server, instead of those in the peer address
    #[argh(option)]
    pub(super) server: Option<String>,
    /// another address of the server, or any STUN server: asked too, to say whose NAT is in the way where there is no path
    /// (default: the server's second port, if it has one)
    #[argh(option)]
    pub(super) witness: Option<String>,
    /// the other side's verdict, as roundtable-probe nat prints it there: says the same
    #[argh(option)]
    pub(super) with: Option<Verdict>,
    /// own plain identifier: a UUID (default: a random one)
    #[argh(option, from_str_fn(plain))]
    pub(super) id: Option<PeerId>,
    /// instead of --id: own keyed identity from this file, which is made on first use
    #[argh(option, from_str_fn(key_file))]
    pub(super) key: Option<PathBuf>,
    /// offer this file's content; - reads standard input (default: a description without media)
    #[argh(option)]
    pub(super) offer: Option<PathBuf>,
}

/// Write one datagram, for `nc -u`: roundtable-probe encode ping | nc -u -w1 HOST 1066 | roundtable-probe decode
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "encode",
    note = "A field that is not set has a value that is allowed, if there is one: a random transaction or offer id, \
            length and digest of the blob, else zeros.\nA blob is text, @FILE or hex:DIGITS; of more than 1024 bytes \
            the fragment with the index is taken.\nWith --json:\n\
            encoded: kind, bytes, hex"
)]
pub(super) struct Encode {
    /// the kind: ping, register, offer, ... (a wrong one lists all)
    #[argh(positional)]
    pub(super) kind: Option<String>,
    /// a field, as FIELD=VALUE; may be given several times (a wrong FIELD lists those of the kind)
    #[argh(option)]
    pub(super) set: Vec<Assignment>,
    /// instead of a kind: a file with what decode --json prints, or the same as an array; - reads standard input
    #[argh(option)]
    pub(super) fields: Option<PathBuf>,
    /// raw, hex or base64 (default: raw into a pipe or file, hex on a terminal)
    #[argh(option)]
    pub(super) output: Option<Notation>,
}

/// Show every field of datagrams with its offset, or where and why one is not valid.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "decode",
    note = "With --json:\n\
            frame: number, from, to, time_s, bytes, kind, fields, offsets\n\
            invalid: number, from, to, time_s, bytes, kind, fields, offsets, error, field, offset, reason, hex\n\
            read: datagrams, frames, invalid, others"
)]
pub(super) struct Decode {
    /// the file; - or nothing reads standard input
    #[argh(positional)]
    pub(super) file: Option<PathBuf>,
    /// raw, hex or base64 (a datagram a line), or pcap for a capture, pcapng too (default: found out)
    #[argh(option, long = "from")]
    pub(super) form: Option<InputForm>,
    /// show blobs whole
    #[argh(switch)]
    pub(super) blobs: bool,
}

/// Watch a server of this machine live: peers, calls, traffic by kind, what is refused and dropped, round trips.
///
/// Its configuration has to name a statssocket. On a terminal it is a dashboard, which q ends and p holds; without one it is a
/// line a second.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "watch",
    note = "With --json:\n\
            second: server, uptime_s, peers, offers, datagrams_in, bytes_in, datagrams_out, bytes_out, answered, challenged, \
            relayed, stun, registrations, moves, forgotten, offers_opened, offers_answered, offers_timed_out, \
            offers_closed, queue_full, filtered, send_errors, receive_errors, way_gone, received, sent, refused, dropped"
)]
pub(super) struct Watch {
    /// the server's statssocket
    #[argh(positional)]
    pub(super) socket: PathBuf,
    /// end after so many seconds, 1 to 1000000, or when the server says nothing for 5 s (default: go on until interrupted)
    #[argh(option, from_str_fn(calls))]
    pub(super) count: Option<u32>,
    /// a line a second on a terminal too
    #[argh(switch)]
    pub(super) plain: bool,
    /// print whole screens, of 100 columns and 30 rows
    #[argh(switch)]
    pub(super) screens: bool,
}

/// Write manual pages and shell completions of both programs, as `make install` does.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "papers",
    note = "With --json:\n\
            written: file"
)]
pub(super) struct Papers {
    /// where to: a prefix's share, below which man, bash-completion, zsh and fish have their places
    #[argh(positional)]
    pub(super) directory: PathBuf,
}

/// Start a server and two peers in this process and let them exchange real session descriptions over loopback.
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "demo",
    note = "With --json:\n\
            listening: server\n\
            registered: peer, id, observed\n\
            offering: bytes, fragments, sealed\n\
            offered: bytes, took_ms\n\
            answered: bytes, took_ms\n\
            path: caller_to, callee_to, round_trip_ms\n\
            cost: datagrams_in, datagrams_out, bytes_in, bytes_out, ratio\n\
            outcome: outcome, bytes_in, bytes_out, ratio"
)]
pub(super) struct Demo {}
