//! Owns: the framing of server-sent events: where one ends, and what its data is.
//! Refuses to know: what the data means.

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memmem};

/// Cuts a byte stream into pieces that end at event boundaries. A piece that arrives whole passes without a copy; only
/// the tail of a split event is held back until the rest of it comes.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: BytesMut,
}

impl Splitter {
    /// A single event larger than this is refused: it is no event of any known dialect.
    pub const MAX_EVENT_BYTES: usize = 8 << 20;

    /// All whole events that are here now; empty if none is. `None`: the event being collected is too large.
    pub fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.tail.is_empty() && ends_event(&piece) {
            return Some(piece);
        }
        if self.tail.is_empty() {
            let end = last_boundary(&piece);
            self.tail.extend_from_slice(&piece[end..]);
            return Some(piece.slice(..end));
        }
        // The boundary may lie across the seam, so the search starts a little before it.
        let seam = self.tail.len().saturating_sub(3);
        self.tail.extend_from_slice(&piece);
        let end = last_boundary(&self.tail[seam..]);
        if end == 0 {
            return (self.tail.len() <= Self::MAX_EVENT_BYTES).then(Bytes::new);
        }
        Some(self.tail.split_to(seam + end).freeze())
    }

    /// What was held back when the stream ended: an event without its end.
    pub fn rest(&mut self) -> Bytes {
        self.tail.split().freeze()
    }
}

fn ends_event(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n")
}

/// Just behind the last event boundary; 0 if there is none.
fn last_boundary(bytes: &[u8]) -> usize {
    let newlines = memmem::rfind(bytes, b"\n\n").map_or(0, |at| at + 2);
    let carriage = memmem::rfind(bytes, b"\r\n\r\n").map_or(0, |at| at + 4);
    newlines.max(carriage)
}

/// Just behind the first event boundary; the end if there is none. A blank line is a newline right behind a newline, or
/// behind the carriage return that follows one.
fn first_boundary(bytes: &[u8]) -> usize {
    let is_blank = |at: &usize| match bytes.get(at + 1) {
        Some(b'\n') => true,
        Some(b'\r') => bytes.get(at + 2) == Some(&b'\n') && bytes[..*at].ends_with(b"\r"),
        _ => false,
    };
    memchr_iter(b'\n', bytes).find(is_blank).map_or(bytes.len(), |at| if bytes[at + 1] == b'\n' { at + 2 } else { at + 3 })
}

/// The events in a piece of whole events, each with its end.
pub fn events(piece: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = piece.clone();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        Some(rest.split_to(first_boundary(&rest)))
    })
}

/// The data of an event that has one `data:` line, as all events of the OpenAI dialect do; `None` for comments.
pub fn data(event: &[u8]) -> Option<&[u8]> {
    event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:")).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_events_pass_without_a_copy() {
        let piece = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
        assert_eq!(Splitter::default().push(piece.clone()).unwrap().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn data_of_events() {
        let all: Vec<Bytes> = events(&Bytes::from_static(b": note\n\nid: 1\r\ndata: x \r\n\r\ndata:[DONE]\n\n")).collect();
        assert_eq!(all.iter().map(|e| data(e)).collect::<Vec<_>>(), [None, Some(&b"x"[..]), Some(&b"[DONE]"[..])]);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_bytes_at_event_boundaries(cuts in proptest::collection::vec(0..60_usize, 0..12), crlf in any::<bool>()) {
            let end = if crlf { "\r\n\r\n" } else { "\n\n" };
            let text = format!("data: one{end}data: twotwo{end}: c{end}data: three{end}tail");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut splitter = Splitter::default();
            let mut out = Vec::new();
            for pair in cuts.windows(2) {
                let whole = splitter.push(Bytes::copy_from_slice(&text.as_bytes()[pair[0]..pair[1]])).unwrap();
                prop_assert!(whole.is_empty() || ends_event(&whole));
                out.extend_from_slice(&whole);
            }
            prop_assert_eq!(splitter.rest(), "tail");
            out.extend_from_slice(b"tail");
            prop_assert_eq!(out, text.as_bytes());
        }
    }
}
