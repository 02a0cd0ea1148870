//! A writer that never fails: what cannot be written is dropped, counted, and told once on standard error.

use std::io::{self, Write};

/// Takes whole lines, each ended by a flush, and writes each in one piece.
pub(super) struct Sink<W, E> {
    inner: W,
    complaints: E,
    line: Vec<u8>,
    lost: u64,
    /// Part of a line was written before the inner writer failed.
    torn: bool,
}

impl<W: Write, E: Write> Sink<W, E> {
    pub(super) fn new(inner: W, complaints: E) -> Self {
        Self { inner, complaints, line: Vec::new(), lost: 0, torn: false }
    }

    fn write_line(&mut self) -> io::Result<()> {
        if self.torn {
            self.inner.write_all(b"\n")?;
            self.torn = false;
        }
        let mut rest = self.line.as_slice();
        while !rest.is_empty() {
            match self.inner.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.inner.flush()
    }

    /// Says when lines begin to be lost and when that has ended. That nobody may read it is accepted.
    fn account(&mut self, outcome: io::Result<()>) {
        let told = match outcome {
            Ok(()) if self.lost == 0 => Ok(()),
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                writeln!(self.complaints, "log lines are written again, {lost} were lost")
            }
            Err(error) => {
                self.lost += 1;
                if self.lost > 1 {
                    return;
                }
                writeln!(self.complaints, "log lines are lost until they can be written again: {error}")
            }
        };
        drop(told);
    }
}

impl<W: Write, E: Write> Write for Sink<W, E> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = self.write_line();
        self.line.clear();
        self.account(outcome);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds so many bytes; more are refused as on a full disk.
    struct Disk {
        room: usize,
        held: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.held.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As fern writes a line: in pieces, then a flush.
    fn log(sink: &mut Sink<Disk, Vec<u8>>, line: &str) {
        write!(sink, "{line}").unwrap();
        sink.write_all(b"\n").unwrap();
        sink.flush().unwrap();
    }

    #[test]
    fn full_disk_loses_lines_says_so_once_and_writing_resumes_on_a_new_line() {
        let mut sink = Sink::new(Disk { room: 8, held: Vec::new() }, Vec::new());
        for line in ["first", "second", "third"] {
            log(&mut sink, line);
        }
        sink.inner.room = 100;
        log(&mut sink, "fourth");
        log(&mut sink, "fifth");
        assert_eq!(String::from_utf8(sink.inner.held).unwrap(), "first\nse\nfourth\nfifth\n");
        assert_eq!(
            String::from_utf8(sink.complaints).unwrap(),
            "log lines are lost until they can be written again: no storage space\n\
             log lines are written again, 2 were lost\n"
        );
    }

    #[test]
    fn nowhere_to_complain_is_no_error_either() {
        let full = || Disk { room: 0, held: Vec::new() };
        let mut sink = Sink::new(full(), full());
        write!(sink, "line").unwrap();
        sink.flush().unwrap();
        assert_eq!(sink.lost, 1);
    }
}
