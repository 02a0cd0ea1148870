//! Runs the built `signallingserver` in a directory of its own. Every wait has a bound; what is still running at
//! the end of a test is killed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Longest wait for a line or an exit: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

/// An empty directory, named after the test, that the program runs in.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config").join(test);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A place with this text as its config.yaml.
    pub(crate) fn with_config(test: &str, yaml: &str) -> Self {
        let place = Self::new(test);
        place.write("config.yaml", yaml);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signallingserver"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = spawn_reader(child.stderr.take().unwrap());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Running { child, stdout: Some(stdout), stderr }
    }

    /// Runs the program, which has to end by itself.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        self.start(arguments).wait()
    }
}

/// How a program ended, and all it had written that had not been read before.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Asserts the exit code, no output, and this as all of standard error.
    pub(crate) fn assert_refused(&self, code: i32, message: &str) {
        assert_eq!(self.stderr, format!("{message}\n"));
        assert_eq!(self.status.code(), Some(code));
        assert_eq!(self.stdout, "");
    }
}

/// A program that runs.
pub(crate) struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Receiver<String>,
}

impl Running {
    /// The next line on standard output, or none where the program has ended.
    fn line_or_end(&mut self) -> Option<String> {
        let mut stdout = self.stdout.take().unwrap();
        let (send, receive) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            // The test may have given up.
            drop(send.send((line, stdout)));
        });
        let (line, stdout) = self.patiently(&receive);
        self.stdout = Some(stdout);
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// The next line on standard output that holds this text, or none where the program has ended.
    pub(crate) fn line_with_or_end(&mut self, text: &str) -> Option<String> {
        loop {
            let line = self.line_or_end()?;
            if line.contains(text) {
                return Some(line);
            }
        }
    }

    /// The next line on standard output that holds this text.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        self.line_with_or_end(text).unwrap_or_else(|| panic!("ended: {}", self.patiently(&self.stderr)))
    }

    /// Closes the reading end of the program's standard output.
    pub(crate) fn hang_up(&mut self) {
        self.stdout = None;
    }

    /// Sends a signal to this one process.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the program to end.
    pub(crate) fn wait(mut self) -> Ended {
        let stdout = self.stdout.take().map(spawn_reader);
        let stderr = self.patiently(&self.stderr);
        let stdout = stdout.map(|stdout| self.patiently(&stdout)).unwrap_or_default();
        // Its standard error is closed: it is ending or has ended.
        let status = self.child.wait().unwrap();
        Ended { status, stdout, stderr }
    }

    /// Ends the program with SIGTERM and asserts that it ends well.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.wait();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        ended
    }

    fn patiently<T>(&self, receiver: &Receiver<T>) -> T {
        receiver.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
            RecvTimeoutError::Timeout => panic!("nothing within {PATIENCE:?}"),
            RecvTimeoutError::Disconnected => panic!("the reading thread has failed"),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads to the end on a thread.
fn spawn_reader(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        // The test may have given up.
        drop(send.send(text));
    });
    receive
}
