//! A stream, line by line.

use std::io;

use tokio::net::UnixStream;

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
