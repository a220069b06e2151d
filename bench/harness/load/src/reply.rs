//! One HTTP/1.1 connection: sends a request as it is, reads the reply, counts its events and drops them.

use memchr::memmem;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const MAX_HEADERS: usize = 96;
const BUFFER_BYTES: usize = 64 << 10;
const MAX_ERROR_BYTES: usize = 300;
const EVENT: &[u8] = b"data:";
const DONE: &[u8] = b"[DONE]";

#[derive(Default)]
pub struct Reply {
    pub status: u16,
    pub first_byte: Option<Instant>,
    pub events: u64,
    /// `[DONE]` has come.
    pub is_done: bool,
    pub ends_connection: bool,
    /// The beginning of the body, when the status is not 200.
    pub error: Vec<u8>,
    /// The end of what has been seen: a mark may be split between two reads.
    seam: Vec<u8>,
}

/// How a body's end is known.
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// How much of the buffer has been dealt with.
    position: usize,
}

impl Connection {
    pub async fn open(host: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(host).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER_BYTES), position: 0 })
    }

    pub async fn exchange(&mut self, request: &[u8], is_stream: bool) -> io::Result<Reply> {
        self.buffer.clear();
        self.socket.write_all(request).await?;
        let (mut reply, framing) = self.head().await?;
        match framing {
            Framing::Length(length) => self.body(&mut reply, length, is_stream).await?,
            Framing::Chunked => self.chunks(&mut reply, is_stream).await?,
            Framing::UntilClose => {
                reply.ends_connection = true;
                while self.available().await? > 0 {
                    self.take(&mut reply, u64::MAX, is_stream);
                }
            }
        }
        Ok(reply)
    }

    async fn head(&mut self) -> io::Result<(Reply, Framing)> {
        loop {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(broken("closed before the reply"));
            }
            let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(length) = head.parse(&self.buffer).map_err(io::Error::other)? else { continue };
            let (mut reply, mut framing) = (Reply::default(), Framing::UntilClose);
            reply.status = head.code.unwrap_or(0);
            for header in head.headers.iter() {
                if header.name.eq_ignore_ascii_case("content-length") {
                    let length = std::str::from_utf8(header.value).ok().and_then(|value| value.trim().parse().ok());
                    framing = Framing::Length(length.ok_or_else(|| broken("content-length"))?);
                } else if header.name.eq_ignore_ascii_case("transfer-encoding") && header.value.ends_with(b"chunked") {
                    framing = Framing::Chunked;
                } else if header.name.eq_ignore_ascii_case("connection") {
                    reply.ends_connection = header.value.eq_ignore_ascii_case(b"close");
                }
            }
            self.position = length;
            return Ok((reply, framing));
        }
    }

    async fn body(&mut self, reply: &mut Reply, length: u64, is_stream: bool) -> io::Result<()> {
        let mut missing = length;
        while missing > 0 {
            self.require().await?;
            missing -= self.take(reply, missing, is_stream);
        }
        Ok(())
    }

    async fn chunks(&mut self, reply: &mut Reply, is_stream: bool) -> io::Result<()> {
        loop {
            let length = self.chunk_length().await?;
            self.body(reply, length, is_stream).await?;
            while self.buffer.len() - self.position < 2 {
                self.read_more().await?;
            }
            self.position += 2;
            if length == 0 {
                return Ok(());
            }
        }
    }

    async fn chunk_length(&mut self) -> io::Result<u64> {
        let end = loop {
            match memmem::find(&self.buffer[self.position..], b"\r\n") {
                Some(end) => break self.position + end,
                None => self.read_more().await?,
            }
        };
        let line = std::str::from_utf8(&self.buffer[self.position..end]).map_err(io::Error::other)?;
        let digits = line.split(';').next().unwrap_or(line).trim();
        let length = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
        self.position = end + 2;
        Ok(length)
    }

    /// Takes at most `limit` bytes of the body from the buffer; how many it took.
    fn take(&mut self, reply: &mut Reply, limit: u64, is_stream: bool) -> u64 {
        let here = self.buffer.len() - self.position;
        let taken = usize::try_from(limit).unwrap_or(usize::MAX).min(here);
        reply.look(&self.buffer[self.position..self.position + taken], is_stream);
        self.position += taken;
        taken as u64
    }

    /// Bytes that are here, after reading when there are none; 0 at the end of the connection.
    async fn available(&mut self) -> io::Result<usize> {
        if self.position == self.buffer.len() {
            self.buffer.clear();
            self.position = 0;
            return self.socket.read_buf(&mut self.buffer).await;
        }
        Ok(self.buffer.len() - self.position)
    }

    async fn require(&mut self) -> io::Result<()> {
        if self.available().await? == 0 { Err(broken("closed within the reply")) } else { Ok(()) }
    }

    /// Reads behind what has not been dealt with yet.
    async fn read_more(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.position);
        self.position = 0;
        if self.socket.read_buf(&mut self.buffer).await? == 0 { Err(broken("closed within the reply")) } else { Ok(()) }
    }
}

impl Reply {
    fn look(&mut self, data: &[u8], is_stream: bool) {
        if self.status != 200 && self.error.len() < MAX_ERROR_BYTES {
            self.error.extend_from_slice(&data[..data.len().min(MAX_ERROR_BYTES)]);
        }
        if !is_stream {
            self.first_byte.get_or_insert_with(Instant::now);
            return;
        }
        let mut joined = std::mem::take(&mut self.seam);
        joined.extend_from_slice(data);
        let mut counted_to = 0;
        for at in memmem::find_iter(&joined, EVENT) {
            self.first_byte.get_or_insert_with(Instant::now);
            self.events += 1;
            counted_to = at + EVENT.len();
        }
        self.is_done |= memmem::find(&joined, DONE).is_some();
        // Too short for a whole mark, so that none is counted twice.
        joined.drain(..counted_to.max(joined.len().saturating_sub(DONE.len() - 1)));
        self.seam = joined;
    }
}

fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_counted_once_wherever_the_reads_fall() {
        let stream = b"data: {}\n\ndata: {}\n\ndata: [DONE]\n\n";
        for cut in 0..=stream.len() {
            let mut reply = Reply { status: 200, ..Reply::default() };
            reply.look(&stream[..cut], true);
            reply.look(&stream[cut..], true);
            assert_eq!((reply.events, reply.is_done), (3, true), "cut at {cut}");
        }
    }
}
