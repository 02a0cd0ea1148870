//! Calls with keyed identifiers: sealed between two of them, in the clear where one peer is plain.
//!
//! The Python side writes down every datagram of its socket.

use std::fs;
use std::future::Future;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use roundtable_signalling::client::{Call, CallEvent, Client, Incoming, Options, Outcome};
use roundtable_signalling::proto::identity::{Identity, SecretKey};
use roundtable_signalling::proto::peer_address::PeerAddress;
use roundtable_signalling::proto::wire::PeerId;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    CLIENT, Ground, LINGER, PAIRS, RUST_ID, assert_same, data, events, interpreter, named, only_file, program,
};

/// Longest wait for anything of the Rust client: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(50);
/// A line of a description that is shorter may stand in a datagram by chance.
const TELLING: usize = 8;

fn ground() -> Option<Ground> {
    Ground::needing("import cryptography")
}

fn rust_key() -> SecretKey {
    SecretKey::from_seed(&[7; 32]).unwrap()
}

/// Runs a Rust client's part, but not for ever.
fn run<T>(part: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, part).await.unwrap() })
}

/// The Python side: its key, and what its socket has seen.
struct Python<'a> {
    ground: &'a Ground,
    key: String,
    identifier: PeerId,
    capture: String,
}

impl<'a> Python<'a> {
    /// Draws a key, and hands out a peer address that this side reads.
    fn new(ground: &'a Ground) -> Self {
        let (key, server) = (ground.path("python.key"), ground.server.address.to_string());
        let shown = program::start(&interpreter(), [CLIENT, "id", "--key", &key, &server], b"");
        let shown = events(shown.wait());
        let text = shown[0]["peer_address"].as_str().unwrap();
        let address: PeerAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        Self { ground, key, identifier: address.identifier(), capture: ground.path("capture") }
    }

    fn listens(&self, offers: &str, further: &[&str]) -> program::Running {
        let common = ["--key", &self.key, "--capture", &self.capture, "--count", "1", "--offer-out", offers];
        let mut running = self.ground.python("listen", &[&common, further].concat());
        running.line_with("\"registered\"");
        running
    }

    fn calls(&self, to: &str, offer: &str, saved: &str, further: &[&str]) -> program::Running {
        let common = ["--key", &self.key, "--capture", &self.capture, "--to", to];
        let files = ["--offer", offer, "--answer-out", saved];
        self.ground.python("call", &[&common[..], &files, further].concat())
    }

    /// The lines of these files that stood in the datagrams of the last run.
    fn lines_on_the_wire(&self, files: &[&str]) -> Vec<String> {
        let capture = fs::read_to_string(&self.capture).unwrap();
        assert!(
            ["> ", "< "].iter().all(|way| capture.lines().any(|line| line.starts_with(way))),
            "{capture}"
        );
        let texts: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let lines = texts.iter().flat_map(|text| text.lines()).filter(|line| line.len() >= TELLING);
        lines.filter(|line| capture.contains(&hexadecimal(line))).map(str::to_owned).collect()
    }
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A Rust client in a thread of its own that answers one offer, or declines, and stays until it is asked what came.
struct Answering {
    thread: JoinHandle<(Bytes, Vec<Bytes>)>,
    finish: oneshot::Sender<()>,
}

impl Answering {
    fn start(ground: &Ground, identity: impl Into<Identity>, answer: Option<Vec<u8>>) -> Self {
        let options = Options::new(ground.server.address, identity);
        let (registered, wait) = mpsc::channel();
        let (finish, finished) = oneshot::channel();
        let thread = thread::spawn(move || {
            run(async move {
                let (client, mut incoming) = Client::start(options).await.unwrap();
                client.registered().await.unwrap();
                registered.send(()).unwrap();
                let heard = answer_one(&mut incoming, answer).await;
                finished.await.unwrap_err();
                heard
            })
        });
        wait.recv_timeout(PATIENCE).unwrap();
        Self { thread, finish }
    }

    /// The offer and the candidates.
    fn heard(self) -> (Bytes, Vec<Bytes>) {
        drop(self.finish);
        self.thread.join().unwrap()
    }
}

/// The offer, and the candidates that came with it, in the order of their numbers.
async fn answer_one(incoming: &mut Incoming, answer: Option<Vec<u8>>) -> (Bytes, Vec<Bytes>) {
    let mut call = incoming.accept().await.unwrap();
    let offer = call.offer.clone();
    let Some(answer) = answer else {
        call.decline().await.unwrap();
        return (offer, Vec::new());
    };
    call.answer(answer.into()).await.unwrap();
    call.call().candidate("from the callee".into()).await.unwrap();
    (offer, candidates(call.call(), 2).await)
}

/// So many candidates, in the order of their numbers.
async fn candidates(call: &mut Call, count: usize) -> Vec<Bytes> {
    let mut found = Vec::new();
    while found.len() < count {
        if let CallEvent::Candidate { number, message } = call.next().await.unwrap() {
            found.push((number, message));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, message)| message).collect()
}

/// Whether what these events tell of was sealed.
#[track_caller]
fn was_sealed(events: &[Value], name: &'static str) -> bool {
    named(events, name).next().unwrap()["sealed"].as_bool().unwrap()
}

#[test]
fn python_calls_rust_sealed() {
    let Some(ground) = ground() else { return };
    let (python, key) = (Python::new(&ground), rust_key());
    let handed_out = PeerAddress::new(
        Identity::from(key.clone()).identifier(),
        vec!["rendezvous.example".parse().unwrap()],
    );
    let handed_out = handed_out.unwrap().to_string();
    for [offer, answer] in PAIRS.map(|pair| pair.map(data)) {
        let rust = Answering::start(&ground, key.clone(), Some(fs::read(&answer).unwrap()));
        let saved = ground.path("saved");
        let called = python.calls(&handed_out, &offer, &saved, &["--candidates", "2", "--linger", LINGER]);
        let called = events(called.wait());
        let (offered, candidates) = rust.heard();
        assert!(offered == fs::read(&offer).unwrap(), "another offer has arrived");
        assert_eq!(candidates, ["candidate 0 of the caller", "candidate 1 of the caller"]);
        assert_same(&saved, &answer);
        assert!(was_sealed(&called, "answered"));
        assert_eq!(named(&called, "candidate").count(), 1, "{called:?}");
        assert_eq!(python.lines_on_the_wire(&[&offer, &answer]), [""; 0]);
    }
    ground.server.stop();
}

#[test]
fn rust_calls_python_sealed() {
    let Some(ground) = ground() else { return };
    let python = Python::new(&ground);
    for (number, [offer, answer]) in PAIRS.map(|pair| pair.map(data)).iter().enumerate() {
        let offers = ground.path(&format!("offers-{number}"));
        let listener = python.listens(&offers, &["--answer", answer, "--candidates", "2", "--linger", "0.5"]);
        let (answered, candidates) = run(async {
            let (client, _incoming) =
                Client::start(Options::new(ground.server.address, rust_key())).await.unwrap();
            let mut call = client.call(python.identifier, fs::read(offer).unwrap().into()).await.unwrap();
            let answered = call.answered().await.unwrap();
            call.candidate("from the caller".into()).await.unwrap();
            (answered, candidates(&mut call, 2).await)
        });
        let listened = events(listener.wait());
        assert!(answered.blob == fs::read(answer).unwrap(), "another answer has arrived");
        assert_eq!(candidates, ["candidate 0 of the callee", "candidate 1 of the callee"]);
        assert_same(only_file(&offers), offer);
        assert!(was_sealed(&listened, "offered"));
        assert_eq!(python.lines_on_the_wire(&[offer, answer]), [""; 0]);
    }
    ground.server.stop();
}

#[test]
fn each_understands_that_the_other_declines_sealed() {
    let Some(ground) = ground() else { return };
    let (python, key) = (Python::new(&ground), rust_key());
    let [offer, _] = PAIRS[0].map(data);
    let rust = Answering::start(&ground, key.clone(), None);
    let to = Identity::from(key.clone()).identifier().to_string();
    let refused = python.calls(&to, &offer, &ground.path("saved"), &["--linger", "0.2"]).wait();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("declined"), "{}", refused.stderr);
    rust.heard();

    let listener = python.listens(&ground.path("offers"), &["--decline", "--linger", "0.2"]);
    let outcome = run(async {
        let (client, _incoming) = Client::start(Options::new(ground.server.address, key)).await.unwrap();
        let mut call = client.call(python.identifier, fs::read(&offer).unwrap().into()).await.unwrap();
        call.outcome().await.unwrap()
    });
    assert_eq!(outcome, Outcome::Declined);
    assert!(was_sealed(&events(listener.wait()), "offered"));
}

#[test]
fn keyed_python_and_plain_rust_call_each_other_in_the_clear() {
    let Some(ground) = ground() else { return };
    let python = Python::new(&ground);
    let [offer, answer] = PAIRS[0].map(data);
    let (offers, saved) = (ground.path("to-rust"), ground.path("answer"));
    let listener = ground.rust_listens(&["--answer", &answer, "--save", &offers, "--follow", "0"]);
    let called = events(python.calls(RUST_ID, &offer, &saved, &["--linger", "0.2"]).wait());
    events(listener.wait());
    assert_same(only_file(&offers), &offer);
    assert_same(&saved, &answer);
    assert!(!was_sealed(&called, "answered"));
    assert_ne!(python.lines_on_the_wire(&[&offer]), [""; 0]);
    assert_ne!(python.lines_on_the_wire(&[&answer]), [""; 0]);

    let offers = ground.path("to-python");
    let listener = python.listens(&offers, &["--answer", &answer, "--linger", "0.2"]);
    let to = python.identifier.to_string();
    events(ground.rust_calls(&to, &offer, &["--save", &saved, "--follow", "0"]).wait());
    let listened = events(listener.wait());
    assert_same(only_file(&offers), &offer);
    assert_same(&saved, &answer);
    assert!(!was_sealed(&listened, "offered"));
    assert_ne!(python.lines_on_the_wire(&[&offer]), [""; 0]);
    assert_ne!(python.lines_on_the_wire(&[&answer]), [""; 0]);
}

#[test]
fn plain_python_and_keyed_rust_call_each_other_in_the_clear() {
    let Some(ground) = ground() else { return };
    let [offer, answer] = PAIRS[0].map(data);
    let rust = Answering::start(&ground, rust_key(), Some(fs::read(&answer).unwrap()));
    let to = Identity::from(rust_key()).identifier().to_string();
    let called = ground.python_calls(&to, &offer, &["--candidates", "2", "--linger", "0.5"]);
    assert!(!was_sealed(&events(called.wait()), "answered"));
    assert!(rust.heard().0 == fs::read(&offer).unwrap(), "another offer has arrived");
    assert_same(ground.path("answer-to-python"), &answer);
}
