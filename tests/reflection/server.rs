//! The server on its host: this program once more, so that its memory is the server's alone.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use roundtable_signalling::Server;
use roundtable_signalling::config::Config;

use crate::{TEST, lab};

/// Set for the process that is the server, to its port.
const PORT: &str = "REFLECTION_SERVER_PORT";
/// Marks the lines that are meant for the one who asks.
const MARK: &str = "stats ";

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stats {
    /// Datagrams that the server has received.
    pub(crate) datagrams: u64,
    pub(crate) peers: u64,
    pub(crate) offers: u64,
    /// Bytes of resident memory.
    pub(crate) resident: u64,
}

pub(crate) fn is_asked_for() -> bool {
    std::env::var_os(PORT).is_some()
}

/// Serves, and answers each line of input with the statistics, until the input ends.
pub(crate) fn serve() {
    let localport = std::env::var(PORT).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let (ready, stats) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        runtime.block_on(async {
            let server = Server::bind(&Config { localport, ..Config::default() }).unwrap();
            ready.send(server.stats()).unwrap();
            server.run(async { drop(ended.await) }).await.unwrap();
        });
    });
    let stats = stats.recv().unwrap();
    for line in std::io::stdin().lines() {
        line.unwrap();
        let now = stats.snapshot();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10;
        println!("\n{MARK}{} {} {} {resident}", now.counters.datagrams_in, now.peers, now.offers);
    }
    drop(end);
    serving.join().unwrap();
}

/// That process, seen from the attacker.
pub(crate) struct Remote {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Remote {
    pub(crate) fn start(port: u16) -> Self {
        let [nsenter, net] = lab::enter("server");
        let mut child = Command::new(nsenter)
            .arg(net)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", TEST, "--nocapture"])
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (ask, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut remote = Self { child, ask, answers };
        remote.stats();
        remote
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stats(&mut self) -> Stats {
        writeln!(self.ask, "?").unwrap();
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the server has ended");
            if let Some(numbers) = line.strip_prefix(MARK) {
                let numbers: Vec<u64> = numbers.split_whitespace().map(|one| one.parse().unwrap()).collect();
                let [datagrams, peers, offers, resident] = numbers[..] else { panic!("{line}") };
                return Stats { datagrams, peers, offers, resident };
            }
        }
    }

    /// Returns the bytes that wait in the server's receive queue, and the datagrams that found no room there.
    pub(crate) fn queue(&self) -> (u64, u64) {
        let table = std::fs::read_to_string(format!("/proc/{}/net/udp6", self.child.id())).unwrap();
        let fields: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        let (_, waiting) = fields[4].split_once(':').unwrap();
        (u64::from_str_radix(waiting, 16).unwrap(), fields.last().unwrap().parse().unwrap())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
