//! One request as one line of JSON. The contract is docs/request-log.md.

use std::net::IpAddr;
use std::time::Duration;

use crate::certificate::Fingerprint;
use crate::clock::UnixTime;
use crate::telemetry::{Outcome, RequestLine};

/// A buffer that lines are written into, one at a time; its memory is reused.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    /// The second that `stamp` says.
    second: Option<u64>,
    /// `2026-11-22T03:08:53`
    stamp: String,
}

impl Scratch {
    /// The line last written, line break included.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes a line over the last one. `now` is wall time since the epoch.
    pub(super) fn write(&mut self, line: &RequestLine, now: Duration) {
        let second = now.as_secs().min(LAST_SECOND);
        if self.second != Some(second) {
            self.stamp = UnixTime(second).to_string();
            self.stamp.truncate(19);
            self.second = Some(second);
        }
        self.bytes.clear();
        let out = &mut self.bytes;
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.stamp.as_bytes());
        out.push(b'.');
        thousandths(out, u64::from(now.subsec_millis()));
        out.extend_from_slice(b"Z\"");

        let level = match line.outcome {
            Outcome::Allow | Outcome::Deny(_) => "info",
            Outcome::Fail(_) => "warn",
        };
        literal(out, "level", level);
        text(out, "request_id", line.request_id.as_str(), 128);
        some(out, "trace_id", line.trace_id.as_deref(), 32);
        literal(out, "plane", line.plane.as_str());
        some(out, "route", line.route.as_deref(), 256);
        text(out, "method", line.method.as_str(), 32);
        // a query may hold a credential; callers cut it off, and so do we
        let path = line.path.split('?').next().unwrap_or_default();
        text(out, "path", path, 1024);
        name(out, "status");
        number(out, u64::from(line.status.as_u16()));
        literal(out, "decision", line.outcome.as_str());
        some(out, "reason", line.outcome.reason(), 64);
        if let Some(shadowed) = line.shadowed {
            literal(out, "shadow_decision", shadowed.as_str());
            some(out, "shadow_reason", shadowed.reason(), 64);
        }
        if let Some(principal) = &line.principal {
            text(out, "user_id", &principal.user_id, 256);
            some(out, "client_id", principal.client_id.as_deref(), 256);
            literal(out, "principal_kind", principal.kind.as_str());
            text(out, "issuer", &principal.issuer, 256);
        }
        some(out, "kid", line.key_id.as_deref(), 64);
        if let Some(fingerprint) = line.token {
            name(out, "token");
            out.push(b'"');
            hex(out, fingerprint);
            out.push(b'"');
        }
        if let Some(Fingerprint(bytes)) = line.certificate {
            name(out, "certificate");
            out.push(b'"');
            for byte in bytes {
                hex_digit(out, u64::from(byte >> 4));
                hex_digit(out, u64::from(byte));
            }
            out.push(b'"');
        }
        if let Some(memberships) = line.memberships {
            literal(out, "memberships", memberships);
        }
        some(out, "on_behalf_of", line.on_behalf_of.as_deref(), 256);
        some(out, "credential", line.credential.as_deref(), 256);
        if line.replayed {
            name(out, "replayed");
            out.extend_from_slice(b"true");
        }
        if let Some(time) = line.upstream_time {
            name(out, "upstream_ms");
            let micros = whole_micros(time);
            number(out, micros / 1000);
            out.push(b'.');
            thousandths(out, micros % 1000);
        }
        name(out, "decision_us");
        number(out, whole_micros(line.decision_time));
        name(out, "bytes");
        number(out, line.response_bytes);
        name(out, "client");
        address(out, line.client.to_canonical());
        some(out, "user_agent", line.user_agent.as_deref(), 256);
        out.extend_from_slice(b"}\n");
    }
}

/// `,"name":`
fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A member whose value is a word of our own: nothing to escape.
fn literal(out: &mut Vec<u8>, key: &str, value: &str) {
    name(out, key);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// A member if there is something to say.
fn some(out: &mut Vec<u8>, key: &str, value: Option<&str>, most: usize) {
    if let Some(value) = value {
        text(out, key, value, most);
    }
}

/// A member of at most `most` bytes, before escaping.
fn text(out: &mut Vec<u8>, key: &str, value: &str, most: usize) {
    name(out, key);
    out.push(b'"');
    escape(out, cap(value, most));
    out.push(b'"');
}

/// The longest start of `text` that has at most `most` bytes and cuts no character.
fn cap(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    (0..=most)
        .rev()
        .find_map(|end| text.get(..end))
        .unwrap_or_default()
}

/// RFC 8259 7; also escaped is what a terminal or a log reader may take for a command or a line
/// break: DEL, C1 controls, U+2028, U+2029, and marks that reorder or hide text.
fn escape(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for char in text.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {
                out.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    hex_digit(out, u64::from(u32::from(char)) >> shift);
                }
            }
            _ => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Sixteen hexadecimal digits.
fn hex(out: &mut Vec<u8>, value: u64) {
    for digit in (0..16).rev() {
        hex_digit(out, value >> (4 * digit));
    }
}

/// The lowest four bits.
fn hex_digit(out: &mut Vec<u8>, value: u64) {
    let digit = u8::try_from(value & 0xf).unwrap_or_default();
    out.push(if digit < 10 {
        b'0' + digit
    } else {
        b'a' + (digit - 10)
    });
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        decimal_digit(out, value);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

/// Three decimal digits.
fn thousandths(out: &mut Vec<u8>, value: u64) {
    decimal_digit(out, value / 100);
    decimal_digit(out, value / 10);
    decimal_digit(out, value);
}

/// The last decimal digit.
fn decimal_digit(out: &mut Vec<u8>, value: u64) {
    out.push(b'0' + u8::try_from(value % 10).unwrap_or_default());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(b'"');
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
    out.push(b'"');
}

fn whole_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// 9999-12-31T23:59:59Z, the last moment RFC 3339 can write.
const LAST_SECOND: u64 = 253_402_300_799;
