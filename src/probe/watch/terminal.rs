//! The terminal: another screen for as long as [`Screen`] lives, and what is typed meanwhile.

use std::io;
use std::thread;

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::is_raw_mode_enabled;
use ratatui::layout::Rect;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender, WeakSender};

/// Wishes that wait, at most; whoever types faster waits too.
const WISHES: usize = 16;

/// What the person before the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    End,
    Pause,
    /// The terminal has another size.
    Redraw,
}

/// Another screen. The one before comes back when this is dropped, and before the message of a panic.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// The operating system's; the terminal is as it was then.
    pub(super) fn open() -> io::Result<Self> {
        // With a hook for panics.
        ratatui::try_init().map(|terminal| Self { terminal }).inspect_err(|_| {
            // The first step; without it there was none.
            if is_raw_mode_enabled().unwrap_or(true) {
                close();
            }
        })
    }

    /// Draws all of it; what has not changed is not written again.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn draw(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame.area(), frame.buffer_mut())).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic has done it already, and has written since where the cursor was.
        if !thread::panicking() {
            close();
        }
    }
}

/// Gives the terminal back. It shows its cursor when it is dropped.
fn close() {
    // A terminal that has gone needs nothing.
    drop(ratatui::try_restore());
}

/// Returns what is wished from now on, until the terminal has gone.
pub(super) fn wishes() -> Receiver<Wish> {
    let (sender, wishes) = mpsc::channel(WISHES);
    // There are wishes for as long as keys can be read.
    tokio::spawn(end_when_hung_up(sender.downgrade()));
    // Not of the runtime, which would wait for one more key at the end.
    thread::spawn(move || read(&sender));
    wishes
}

/// A terminal that is not given back may outlive who hangs up: another shell's, or one that several share.
async fn end_when_hung_up(wishes: WeakSender<Wish>) {
    let Ok(mut hung_up) = signal(SignalKind::hangup()) else { return };
    while hung_up.recv().await.is_some() {
        let Some(wishes) = wishes.upgrade() else { return };
        if wishes.send(Wish::End).await.is_err() {
            return;
        }
    }
}

fn read(wishes: &Sender<Wish>) {
    while let Ok(event) = event::read() {
        if let Some(wish) = wish(&event)
            && wishes.blocking_send(wish).is_err()
        {
            return;
        }
    }
}

fn wish(event: &Event) -> Option<Wish> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Press => typed(key),
        Event::Resize(..) => Some(Wish::Redraw),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

fn typed(key: &KeyEvent) -> Option<Wish> {
    // A terminal that is read key by key makes no signal of Ctrl-C.
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return Some(Wish::End);
    }
    if key.code == KeyCode::Esc || key.code == KeyCode::Char('q') {
        return Some(Wish::End);
    }
    (key.code == KeyCode::Char('p')).then_some(Wish::Pause)
}

#[cfg(test)]
#[path = "../../../tests/support/terminal.rs"]
#[expect(dead_code, reason = "of what tests/probe does before a terminal, one test here needs less")]
mod before;

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::before::Terminal;
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Wish> {
        wish(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    /// Set for the process that panics.
    const PANICS: &str = "ROUNDTABLE_PANIC_BEFORE_A_TERMINAL";

    /// This program starts itself once more, before a terminal.
    #[test]
    fn panic_gives_the_terminal_back_and_is_read_on_it() {
        if std::env::var_os(PANICS).is_some() {
            let mut screen = Screen::open().unwrap();
            screen.draw(|area, buffer| buffer.set_string(area.x, area.y, "drawn", Style::new())).unwrap();
            panic!("on purpose");
        }
        let myself = std::env::current_exe().unwrap();
        let test = "probe::watch::terminal::tests::panic_gives_the_terminal_back_and_is_read_on_it";
        let words = [
            &format!("{PANICS}=1"),
            "RUST_BACKTRACE=0",
            myself.to_str().unwrap(),
            "--exact",
            test,
            "--nocapture",
        ];
        let left = Terminal::start("env", &words, 100, 30).wait();
        assert_eq!(
            (left.code, left.same_settings, left.other_screen, left.cursor),
            (Some(101), true, false, true),
            "{left:?}"
        );
        assert!(left.text.iter().any(|row| row.contains("on purpose")), "{left:?}");
        assert!(!left.text.iter().any(|row| row.contains("drawn")), "{left:?}");
    }

    #[test]
    fn keys_mean_what_the_foot_of_the_screen_says() {
        let none = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('q'), none), Some(Wish::End));
        assert_eq!(key(KeyCode::Esc, none), Some(Wish::End));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::End));
        assert_eq!(key(KeyCode::Char('p'), none), Some(Wish::Pause));
        assert_eq!(wish(&Event::Resize(80, 24)), Some(Wish::Redraw));
        assert_eq!(key(KeyCode::Char('c'), none), None);
        assert_eq!(key(KeyCode::Enter, none), None);
    }
}
