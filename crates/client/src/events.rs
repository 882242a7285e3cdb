//! Server-sent events (WHATWG HTML, 9.2), as far as the service speaks them: `id`, `event`, `data`, comments.

use std::io::{BufRead, BufReader, Read};

/// Longer lines are nobody's events.
const LONGEST_LINE: u64 = 16 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its sequence in the journal; the last event, `end`, has none.
    pub id: Option<u64>,
    pub kind: String,
    pub data: String,
}

/// The events of a stream, until it ends; what is cut off in the middle of one is dropped, as the standard says.
pub struct Events<R> {
    reader: BufReader<R>,
}

impl<R: Read> Events<R> {
    pub fn new(reader: R) -> Self {
        Events {
            reader: BufReader::new(reader),
        }
    }
}

impl<R: Read> Iterator for Events<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = Vec::new();
            let read = (&mut self.reader)
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line)
                .ok()?;
            if read == 0 || line.last() != Some(&b'\n') {
                return None;
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if event == Event::default() {
                    continue;
                }
                return Some(event);
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = value.parse().ok(),
                "event" => event.kind = value.to_owned(),
                "data" => {
                    if !event.data.is_empty() {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                }
                // A comment, or what is newer than this client.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_a_cut_off_one_is_dropped() {
        let text = ": still here\n\nid: 3\nevent: planned\ndata: {\"a\":1}\n\nevent: end\r\ndata: x\r\ndata: y\r\n\r\nid: 4\ndata: cu";
        let events: Vec<Event> = Events::new(text.as_bytes()).collect();
        assert_eq!(
            events,
            [
                Event {
                    id: Some(3),
                    kind: "planned".into(),
                    data: "{\"a\":1}".into()
                },
                Event {
                    id: None,
                    kind: "end".into(),
                    data: "x\ny".into()
                },
            ]
        );
    }
}
