//! A server in a process of its own, so that its memory is its own: this test's program once more. It answers each line
//! of input with its statistics.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use roundtable_signalling::Server;
use roundtable_signalling::config::Config;

/// Set for the process that is the server, to its port.
const PORT: &str = "ROUNDTABLE_REMOTE_PORT";
/// Marks the lines that are meant for the one who asks.
const MARK: &str = "stats ";

/// What the server says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stats {
    /// Datagrams that the server has received.
    pub(crate) datagrams: u64,
    /// The sum of all outcomes.
    pub(crate) outcomes: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) peers: u64,
    pub(crate) offers: u64,
    /// Peers that were forgotten for their silence.
    pub(crate) forgotten: u64,
    /// Datagrams that the kernel dropped because the receive queue was full, or for the filter under a flood.
    pub(crate) queue_full: u64,
    /// Bytes of resident memory.
    pub(crate) resident: u64,
}

/// Numbers in a line of statistics.
const NUMBERS: usize = 9;

impl Stats {
    const fn to_numbers(self) -> [u64; NUMBERS] {
        [
            self.datagrams,
            self.outcomes,
            self.bytes_in,
            self.bytes_out,
            self.peers,
            self.offers,
            self.forgotten,
            self.queue_full,
            self.resident,
        ]
    }

    fn read(line: &str) -> Self {
        let numbers: Vec<u64> = line.split_whitespace().map(|one| one.parse().unwrap()).collect();
        let [datagrams, outcomes, bytes_in, bytes_out, peers, offers, forgotten, queue_full, resident] =
            numbers[..]
        else {
            panic!("{line}")
        };
        Self { datagrams, outcomes, bytes_in, bytes_out, peers, offers, forgotten, queue_full, resident }
    }
}

/// Tells whether this process is to be the server.
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(PORT).is_some()
}

/// Serves, and answers each line of input with the statistics, until the input ends.
pub(crate) fn serve(config: Config) {
    let localport = std::env::var(PORT).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (ready, started) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        runtime.block_on(async {
            let server = Server::bind(&Config { localport, ..config }).unwrap();
            ready.send((server.local_addr(), server.stats())).unwrap();
            server.run(async { drop(ended.await) }).await.unwrap();
        });
    });
    let (address, stats) = started.recv().unwrap();
    println!("\n{MARK}{address}");
    for line in std::io::stdin().lines() {
        line.unwrap();
        let now = stats.snapshot();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10;
        let stats = Stats {
            datagrams: now.counters.datagrams_in,
            outcomes: now.counters.outcomes(),
            bytes_in: now.counters.bytes_in,
            bytes_out: now.counters.bytes_out,
            peers: now.peers.into(),
            offers: now.offers.into(),
            forgotten: now.counters.forgotten,
            queue_full: now.transport.receive_drops + now.transport.receive_shed,
            resident,
        };
        println!("\n{MARK}{}", stats.to_numbers().map(|number| number.to_string()).join(" "));
    }
    drop(end);
    serving.join().unwrap();
}

/// That process, seen from the test.
pub(crate) struct Remote {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    /// Starts `test` of this program once more, behind the words of `prefix`; there it has to call [`serve`].
    pub(crate) fn start(prefix: &[String], test: &str, port: u16) -> Self {
        let myself = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
        let mut words = prefix.iter().chain(std::iter::once(&myself));
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .args(["--exact", test, "--nocapture"])
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut remote = Self { address: SocketAddr::from(([0; 4], 0)), child, ask, answers };
        remote.address = remote.hear().parse().unwrap();
        remote
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stats(&mut self) -> Stats {
        writeln!(self.ask, "?").unwrap();
        Stats::read(&self.hear())
    }

    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the server has ended");
            if let Some(answer) = line.strip_prefix(MARK) {
                return answer.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
