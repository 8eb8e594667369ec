//! What one HTTP/2 connection asks for without asking for anything: requests it cancels, and frames
//! that carry nothing. Counted in the bytes a client sends, before they are decoded.
//!
//! `h2` bounds what one frame or header block may cost and what waits to be accepted; nothing of its
//! bounds a client that cancels each request once it was accepted (CVE-2023-44487), or that sends
//! SETTINGS and PING without end.

use tokio::time::Instant;

use crate::config::Http2Limits;

/// Bytes sent for which a client may send one more control frame: acknowledgements, window updates
/// and bandwidth probes are in proportion to what is downloaded. An acknowledged PING (17 bytes)
/// earns less than it costs.
const BYTES_PER_FRAME: u64 = 32;
/// How many times `max_resets` a connection may cancel if it lets most of its requests finish.
const EXCUSED: u32 = 10;

/// Length of a frame's header (RFC 9113 4.1).
const HEADER: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flood {
    /// It cancels too many requests.
    Resets,
    /// It sends too many frames without use.
    ControlFrames,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    limits: Http2Limits,
    /// The header of the frame that is being read, so far.
    header: [u8; HEADER],
    read: usize,
    /// Bytes of its payload that are still to come.
    payload: usize,
    /// The payload's first byte says how much of the rest is padding.
    padded: bool,
    /// The highest stream begun.
    latest: u32,
    window: Window,
}

/// What was counted since a moment. The moment is looked at only when a limit is passed, so that
/// no clock is asked per frame.
#[derive(Debug)]
struct Window {
    since: Instant,
    requests: u32,
    resets: u32,
    control: u32,
    /// Bytes sent to the client.
    sent: u64,
}

impl Window {
    fn new(since: Instant) -> Self {
        Self {
            since,
            requests: 0,
            resets: 0,
            control: 0,
            sent: 0,
        }
    }

    /// Whether a limit is passed, before anything that excuses it.
    fn is_busy(&self, limits: &Http2Limits) -> bool {
        self.resets > limits.max_resets || self.control > limits.max_control_frames
    }

    fn flood(&self, limits: &Http2Limits) -> Option<Flood> {
        // a proxy that carries many clients cancels for each of them; one that cancels most of what
        // it asks for is an attack, and so is one that cancels without end
        let excused = self.resets <= self.requests / 2
            && self.resets <= limits.max_resets.saturating_mul(EXCUSED);
        if self.resets > limits.max_resets && !excused {
            return Some(Flood::Resets);
        }
        let earned = self.sent / BYTES_PER_FRAME;
        (u64::from(self.control) > u64::from(limits.max_control_frames) + earned)
            .then_some(Flood::ControlFrames)
    }
}

impl Frames {
    /// A connection whose preface has been read.
    pub(super) fn new(limits: Http2Limits, now: Instant) -> Self {
        Self {
            limits,
            header: [0; HEADER],
            read: 0,
            payload: 0,
            padded: false,
            latest: 0,
            window: Window::new(now),
        }
    }

    /// Counts what the client sent. `Err` once it is too much within [`Http2Limits::WINDOW`]; a
    /// burst over the border of two windows may reach twice the limit.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        now: impl Fn() -> Instant,
    ) -> Result<(), Flood> {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let padding = bytes.first().filter(|_| self.padded);
                if padding.is_some_and(|padding| usize::from(*padding) + 1 >= self.payload) {
                    self.control(&now)?;
                }
                self.padded = false;
                let (_payload, rest) = bytes.split_at(self.payload.min(bytes.len()));
                self.payload -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let wanted = HEADER - self.read;
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            if let Some(header) = self.header.get_mut(self.read..self.read + part.len()) {
                header.copy_from_slice(part);
            }
            self.read += part.len();
            bytes = rest;
            if self.read == HEADER {
                self.read = 0;
                self.frame(&now)?;
            }
        }
        Ok(())
    }

    /// Counts what the client was sent.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.window.sent = self.window.sent.saturating_add(bytes as u64);
    }

    /// Counts the frame whose header is complete.
    fn frame(&mut self, now: impl Fn() -> Instant) -> Result<(), Flood> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        self.payload = usize::try_from(length).unwrap_or(usize::MAX);
        match kind {
            DATA if length > 0 || flags & END_STREAM != 0 => {
                self.padded = flags & (PADDED | END_STREAM) == PADDED;
                return Ok(());
            }
            HEADERS => {
                let stream = u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff;
                // a later one on the same stream holds trailers
                if stream > self.latest {
                    self.latest = stream;
                    self.window.requests = self.window.requests.saturating_add(1);
                }
                return Ok(());
            }
            RST_STREAM => self.window.resets = self.window.resets.saturating_add(1),
            _control => return self.control(now),
        }
        self.judge(now)
    }

    /// Counts a frame without use.
    fn control(&mut self, now: impl Fn() -> Instant) -> Result<(), Flood> {
        self.window.control = self.window.control.saturating_add(1);
        self.judge(now)
    }

    fn judge(&mut self, now: impl Fn() -> Instant) -> Result<(), Flood> {
        if !self.window.is_busy(&self.limits) {
            return Ok(());
        }
        // what was earned long ago excuses nothing now
        let now = now();
        if now.saturating_duration_since(self.window.since) >= Http2Limits::WINDOW {
            self.window = Window::new(now);
            return Ok(());
        }
        self.window.flood(&self.limits).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: Http2Limits = Http2Limits {
        max_streams: 256,
        max_resets: 10,
        max_control_frames: 20,
    };
    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        // a payload that looks like frames
        frame.extend(
            std::iter::repeat_n([0, 0, 0, RST_STREAM], payload)
                .flatten()
                .take(payload),
        );
        frame
    }

    /// `count` requests of which `cancelled` are, each a HEADERS frame and a `RST_STREAM`.
    fn requests(from: u32, count: u32, cancelled: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..count {
            let stream = (from + number) * 2 + 1;
            bytes.extend(frame(HEADERS, 5, stream, 30));
            if number < cancelled {
                bytes.extend(frame(RST_STREAM, 0, stream, 4));
            }
        }
        bytes
    }

    fn repeated(frame: &[u8], count: usize) -> Vec<u8> {
        frame.repeat(count)
    }

    /// The outcome of reading these bytes whole, which is that of every way to split them.
    fn outcome(bytes: &[u8]) -> Option<Flood> {
        let now = Instant::now();
        let whole = Frames::new(LIMITS, now).read(bytes, || now).err();
        for size in [1, 2, 7, 9, 10, 64] {
            let mut frames = Frames::new(LIMITS, now);
            let split = bytes
                .chunks(size)
                .try_for_each(|part| frames.read(part, || now))
                .err();
            assert_eq!(split, whole, "in parts of {size}");
        }
        whole
    }

    #[test]
    fn requests_that_are_cancelled_are_counted_however_they_are_split() {
        assert_eq!(outcome(&requests(0, 10, 10)), None);
        assert_eq!(outcome(&requests(0, 11, 11)), Some(Flood::Resets));
    }

    #[test]
    fn a_connection_that_cancels_less_than_half_is_no_flood() {
        let mut bytes = requests(0, 60, 0);
        bytes.extend(requests(60, 20, 20));
        assert_eq!(outcome(&bytes), None);
        // trailers are not requests
        let mut bytes = Vec::new();
        for stream in 0..11 {
            let stream = stream * 2 + 1;
            bytes.extend(repeated(&frame(HEADERS, 4, stream, 30), 5));
            bytes.extend(frame(RST_STREAM, 0, stream, 4));
        }
        assert_eq!(outcome(&bytes), Some(Flood::Resets));
    }

    #[test]
    fn what_excuses_has_an_end_in_number_and_time() {
        let mut bytes = requests(0, 400, 0);
        bytes.extend(requests(400, 100, 100));
        assert_eq!(outcome(&bytes), None);
        bytes.extend(requests(500, 1, 1));
        assert_eq!(outcome(&bytes), Some(Flood::Resets));

        // requests of the window before excuse nothing
        let begun = Instant::now();
        let mut frames = Frames::new(LIMITS, begun);
        assert_eq!(frames.read(&requests(0, 400, 0), || begun), Ok(()));
        let later = begun + Http2Limits::WINDOW;
        assert_eq!(frames.read(&requests(400, 11, 11), || later), Ok(()));
        let again = frames.read(&requests(411, 11, 11), || later);
        assert_eq!(again, Err(Flood::Resets));
    }

    #[test]
    fn frames_without_use_are_counted() {
        for (kind, payload) in [
            (PING, 8),
            (4, 0),
            (2, 5),
            (WINDOW_UPDATE, 4),
            (9, 100),
            (0x10, 12),
            (DATA, 0),
        ] {
            let one = frame(kind, 0, 1, payload);
            assert_eq!(outcome(&repeated(&one, 20)), None, "{kind}");
            let flood = outcome(&repeated(&one, 21));
            assert_eq!(flood, Some(Flood::ControlFrames), "{kind}");
        }
    }

    #[test]
    fn padding_alone_is_no_data() {
        let padded = |flags, padding: u8, data: usize| {
            let mut bytes = frame(DATA, flags | PADDED, 1, 1 + usize::from(padding) + data);
            bytes[HEADER] = padding;
            bytes
        };
        for (one, useless) in [
            (padded(0, 0, 0), true),
            (padded(0, 255, 0), true),
            (padded(0, 255, 1), false),
            (padded(0, 0, 1), false),
            (padded(END_STREAM, 255, 0), false),
        ] {
            let expected = useless.then_some(Flood::ControlFrames);
            assert_eq!(outcome(&repeated(&one, 21)), expected, "{one:?}");
            assert_eq!(outcome(&repeated(&one, 20)), None, "{one:?}");
        }
    }

    #[test]
    fn data_and_requests_are_no_control_frames() {
        let mut bytes = repeated(&frame(DATA, 0, 1, 40), 100);
        bytes.extend(repeated(&frame(DATA, END_STREAM, 1, 0), 100));
        bytes.extend(requests(0, 100, 0));
        assert_eq!(outcome(&bytes), None);
    }

    #[test]
    fn a_download_earns_its_window_updates_and_a_ping_less_than_itself() {
        let now = Instant::now();
        let update = frame(WINDOW_UPDATE, 0, 0, 4);
        let mut frames = Frames::new(LIMITS, now);
        for _ in 0..1000 {
            frames.wrote(64);
            assert_eq!(frames.read(&repeated(&update, 2), || now), Ok(()));
        }
        let ping = frame(PING, 0, 0, 8);
        let mut frames = Frames::new(LIMITS, now);
        let flood = (0..1000).find_map(|_| {
            frames.wrote(ping.len());
            frames.read(&ping, || now).err()
        });
        assert_eq!(flood, Some(Flood::ControlFrames));
    }

    #[test]
    fn each_window_begins_anew() {
        let start = Instant::now();
        let mut frames = Frames::new(LIMITS, start);
        let ping = frame(PING, 0, 0, 8);
        assert_eq!(frames.read(&repeated(&ping, 20), || start), Ok(()));
        let later = start + Http2Limits::WINDOW;
        assert_eq!(frames.read(&repeated(&ping, 20), || later), Ok(()));
        let soon = later + Duration::from_secs(1);
        assert_eq!(
            frames.read(&repeated(&ping, 2), || soon),
            Err(Flood::ControlFrames)
        );
    }
}
