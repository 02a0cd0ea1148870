//! A stream, line by line.

use std::io;

use tokio::net::UnixStream;

/// Bytes of the longest line: far more than a server's statistics have.
const LINE_MAX: usize = 1 << 20;

/// What has come and is no whole line yet stays here.
pub(super) struct Lines {
    stream: UnixStream,
    rest: Vec<u8>,
}

impl Lines {
    pub(super) const fn new(stream: UnixStream) -> Self {
        Self { stream, rest: Vec::new() }
    }

    /// Returns the next line; none at the end. Can be cancelled.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.drain(..=end).collect();
                return Ok(Some(line));
            }
            if self.rest.len() > LINE_MAX {
                let why = format!("a line of more than {LINE_MAX} bytes: no statistics");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => self.rest.extend(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn what_has_no_end_is_no_line() {
        let (mut server, stream) = std::os::unix::net::UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut lines = Lines::new(UnixStream::from_std(stream).unwrap());
        std::thread::spawn(move || {
            server.write_all(b"{}\n").unwrap();
            while server.write_all(&[b' '; 65_536]).is_ok() {}
        });
        assert_eq!(lines.next().await.unwrap().unwrap(), b"{}\n");
        assert_eq!(lines.next().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
