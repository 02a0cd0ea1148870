//! A terminal for a program: a pseudo-terminal, and what a person would see on it. Understands as much of what terminals
//! understand as dashboards write. Every wait has a bound.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::pty::{Winsize, openpty};

/// Longest wait for what is to be seen: only ever reached by a failing test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program before its terminal.
pub(crate) struct Terminal {
    child: Child,
    /// Where a person would sit.
    outer: File,
    /// Where the program sits.
    inner: OwnedFd,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    reader: JoinHandle<()>,
    settings: String,
}

/// How it was left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) code: Option<i32>,
    /// Whether its modes (echo, lines, signals) are those that it had.
    pub(crate) same_settings: bool,
    pub(crate) other_screen: bool,
    pub(crate) cursor: bool,
    /// What is on the screen, without blank lines.
    pub(crate) text: Vec<String>,
}

impl Terminal {
    /// Starts a program before a terminal of this size.
    pub(crate) fn start(program: &str, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let mut command = Command::new("setsid");
        command.args(["--ctty", program]).args(arguments);
        Self::spawn(&mut command, true, columns, rows)
    }

    /// The same, where nobody can type: only what the program writes goes to the terminal.
    pub(crate) fn start_without_keys(program: &str, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let mut command = Command::new("setsid");
        command.arg(program).args(arguments);
        Self::spawn(&mut command, false, columns, rows)
    }

    fn spawn(command: &mut Command, has_keys: bool, columns: u16, rows: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let inner = || Stdio::from(pair.slave.try_clone().unwrap());
        let settings = stty(&pair.slave, &["-g"]);
        command.env("TERM", "xterm-256color").stdin(if has_keys { inner() } else { Stdio::null() });
        let child = command.stdout(inner()).stderr(inner()).spawn().unwrap();
        // Which holds the inner side open, too.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let seen = Arc::new((Mutex::new(Seen::new(columns, rows)), Condvar::new()));
        let outer = File::from(pair.master);
        let (mut from, told) = (outer.try_clone().unwrap(), Arc::clone(&seen));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Ends with an error when nobody has the inner side open.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                told.0.lock().unwrap().take(&buffer[..length]);
                told.1.notify_all();
            }
        });
        Self { child, outer, inner: pair.slave, seen, reader, settings }
    }

    /// Waits until the rows, without blanks at their ends, are like this.
    pub(crate) fn wait_for(&self, what: &str, is_like_this: impl Fn(&[String]) -> bool) -> Vec<String> {
        let (seen, changed) = &*self.seen;
        let other = |seen: &mut Seen| !is_like_this(&seen.rows());
        let (seen, timeout) = changed.wait_timeout_while(seen.lock().unwrap(), PATIENCE, other).unwrap();
        assert!(!timeout.timed_out(), "{what} is not on the screen:\n{}", seen.rows().join("\n"));
        seen.rows()
    }

    /// Types this.
    pub(crate) fn press(&mut self, keys: &str) {
        self.outer.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size, of which the kernel tells the program.
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.seen.0.lock().unwrap().resize(columns, rows);
        stty(&self.inner, &["rows", &rows.to_string(), "cols", &columns.to_string()]);
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the program to end.
    pub(crate) fn wait(self) -> Left {
        let (sender, ended) = channel();
        let mut child = self.child;
        // The test may have given up.
        thread::spawn(move || sender.send(child.wait().unwrap().code()));
        let Ok(code) = ended.recv_timeout(PATIENCE) else {
            panic!("still running:\n{}", self.seen.0.lock().unwrap().rows().join("\n"));
        };
        let same_settings = stty(&self.inner, &["-g"]) == self.settings;
        drop(self.inner);
        self.reader.join().unwrap();
        let seen = self.seen.0.lock().unwrap();
        let text = seen.rows().into_iter().filter(|row| !row.is_empty()).collect();
        Left { code, same_settings, other_screen: seen.is_other, cursor: seen.has_cursor, text }
    }
}

/// Asks for or changes what the kernel does between the two sides.
fn stty(terminal: &OwnedFd, arguments: &[&str]) -> String {
    let terminal = Stdio::from(terminal.try_clone().unwrap());
    let ran = Command::new("stty").args(arguments).stdin(terminal).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

/// What is on the screen.
struct Seen {
    columns: usize,
    /// The ordinary screen, and the other that programs take for themselves.
    screens: [Vec<Vec<char>>; 2],
    is_other: bool,
    has_cursor: bool,
    /// Row and column of the next character.
    at: (usize, usize),
    /// The same of the ordinary screen, while the other is shown.
    saved: (usize, usize),
    /// What has come and is not understood yet.
    rest: Vec<u8>,
}

impl Seen {
    fn new(columns: u16, rows: u16) -> Self {
        let screen = vec![vec![' '; columns.into()]; rows.into()];
        let screens = [screen.clone(), screen];
        Self {
            columns: columns.into(),
            screens,
            is_other: false,
            has_cursor: true,
            at: (0, 0),
            saved: (0, 0),
            rest: Vec::new(),
        }
    }

    fn resize(&mut self, columns: u16, rows: u16) {
        self.columns = columns.into();
        for screen in &mut self.screens {
            screen.resize(rows.into(), Vec::new());
            screen.iter_mut().for_each(|row| row.resize(columns.into(), ' '));
        }
    }

    fn rows(&self) -> Vec<String> {
        let screen = &self.screens[usize::from(self.is_other)];
        screen.iter().map(|row| row.iter().collect::<String>().trim_end().to_owned()).collect()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend(bytes);
        let rest = std::mem::take(&mut self.rest);
        // The last character may not have come whole.
        let whole = rest.utf8_chunks().map(|chunk| chunk.valid().len()).next().unwrap_or(0);
        let mut text = str::from_utf8(&rest[..whole]).unwrap();
        while let Some(character) = text.chars().next() {
            let mut length = character.len_utf8();
            if character == '\x1b' {
                let is_last = |(at, character): &(usize, char)| *at > 1 && character.is_ascii_alphabetic();
                let Some((last, name)) = text.char_indices().find(is_last) else { break };
                self.control(&text[2..last], name);
                length = last + 1;
            } else {
                self.put(character);
            }
            text = &text[length..];
        }
        self.rest = rest[whole - text.len()..].to_vec();
    }

    /// `ESC [ parameters name`.
    fn control(&mut self, parameters: &str, name: char) {
        let number = |at| parameters.split(';').nth(at).and_then(|text| text.parse().ok()).unwrap_or(1_usize);
        match (name, parameters) {
            ('H', _) => self.at = (number(0) - 1, number(1) - 1),
            ('J', "2") => {
                let screen = &mut self.screens[usize::from(self.is_other)];
                screen.iter_mut().for_each(|row| row.fill(' '));
            }
            ('h', "?1049") => (self.is_other, self.saved) = (true, self.at),
            ('l', "?1049") => (self.is_other, self.at) = (false, self.saved),
            ('h' | 'l', "?25") => self.has_cursor = name == 'h',
            // Colours, and what else does not move characters.
            ('m' | 'h' | 'l', _) => {}
            other => panic!("this terminal does not understand {other:?}"),
        }
    }

    fn put(&mut self, character: char) {
        let (row, column) = self.at;
        match character {
            '\r' => self.at.1 = 0,
            '\n' => self.at.0 += 1,
            _ => {
                let cell =
                    self.screens[usize::from(self.is_other)].get_mut(row).and_then(|row| row.get_mut(column));
                // What was drawn for a larger screen may come after it got smaller.
                if let Some(cell) = cell {
                    *cell = character;
                }
                self.at.1 += 1;
            }
        }
    }
}
