//! Runs the built programs. Every wait has a bound; what is still running at the end of a test is killed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Longest wait for a line or an exit: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs.
pub(crate) struct Running {
    child: Child,
    /// Lines of standard output that have not been looked at.
    lines: Receiver<String>,
    stderr: Receiver<String>,
    /// Those that have.
    seen: String,
}

/// How a program ended, and all that it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None where a signal has ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Starts a program that reads `stdin`.
pub(crate) fn start<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    stdin: &[u8],
) -> Running {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut to, input) = (child.stdin.take().unwrap(), stdin.to_vec());
    // It may not want to read.
    thread::spawn(move || drop(to.write_all(&input)));
    let (line_sender, lines) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        for line in stdout.split(b'\n') {
            // The test may have given up.
            drop(line_sender.send(String::from_utf8_lossy(&line.unwrap()).into_owned()));
        }
    });
    let (text_sender, stderr) = channel();
    let mut from = child.stderr.take().unwrap();
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        drop(text_sender.send(text));
    });
    Running { child, lines, stderr, seen: String::new() }
}

impl Running {
    /// Waits for the next line on standard output that holds this text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        self.line_with_any(&[text])
    }

    /// Waits for the next line on standard output that holds one of these texts.
    pub(crate) fn line_with_any(&mut self, texts: &[&str]) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                let complaint = self.stderr.try_recv().unwrap_or_default();
                panic!("none of {texts:?} after:\n{}\n{complaint}", self.seen);
            };
            self.seen += &line;
            self.seen.push('\n');
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
        }
    }

    /// Sends a signal to this one process.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the program to end.
    pub(crate) fn wait(mut self) -> Ended {
        let stderr = self.stderr.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            panic!("still running after {PATIENCE:?}:\n{}", self.seen);
        });
        // Its standard error is closed: it is ending or has ended.
        let code = self.child.wait().unwrap().code();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen += &line;
            self.seen.push('\n');
        }
        Ended { code, stdout: std::mem::take(&mut self.seen), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The built server, on loopback.
pub(crate) struct Rendezvous {
    pub(crate) program: Running,
    pub(crate) address: SocketAddr,
    _directory: TempDir,
}

impl Rendezvous {
    /// Starts it on this port of 127.0.0.1, or on a free one for 0, with further lines for its configuration.
    pub(crate) fn start(port: u16, further: &str) -> Self {
        Self::start_at("127.0.0.1", port, further)
    }

    /// The same, at this address.
    pub(crate) fn start_at(ip: &str, port: u16, further: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.yaml");
        let yaml = format!("localaddress: '{ip}'\nlocalport: {port}\nloglevel: debug\n{further}");
        std::fs::write(&file, yaml).unwrap();
        let arguments = [OsStr::new("--config-file-path"), file.as_os_str()];
        // Only tests are told where it is.
        let Some(server) = option_env!("CARGO_BIN_EXE_signallingserver") else { panic!("this is no test") };
        let mut program = start(server, arguments, b"");
        let line = program.line_with("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        let address = address.strip_suffix(" (udp)").unwrap().parse().unwrap();
        Self { program, address, _directory: directory }
    }

    /// Ends it, and asserts that it was well.
    pub(crate) fn stop(self) {
        self.program.signal("TERM");
        let ended = self.program.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{}", ended.stdout);
    }
}
