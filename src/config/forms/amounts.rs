//! Amounts: durations and sizes, always with a unit.

use std::time::Duration;

use super::Form;

/// Nothing here is meant to last longer, and a moment that far ahead can still be counted.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Form for Duration {
    const FORMAT: &'static str = "duration";
    const EXAMPLE: &'static str = "60s";
    fn read(text: &str) -> Result<Self, String> {
        let duration =
            humantime::parse_duration(text).map_err(|error| format!("not a duration: {error}"))?;
        if duration > LONGEST {
            return Err("longer than ten years".to_owned());
        }
        Ok(duration)
    }
}

/// A duration longer than nothing.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Positive(pub(in crate::config) Duration);

impl Form for Positive {
    const FORMAT: &'static str = "positive-duration";
    const EXAMPLE: &'static str = "30s";
    fn read(text: &str) -> Result<Self, String> {
        let duration = Duration::read(text)?;
        if duration.is_zero() {
            return Err("must be longer than zero".to_owned());
        }
        Ok(Self(duration))
    }
}

/// A number of bytes, more than zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Form for Size {
    const FORMAT: &'static str = "size";
    const EXAMPLE: &'static str = "64KiB";
    fn read(text: &str) -> Result<Self, String> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at_checked(digits).unwrap_or_default();
        let unit: u64 = match unit.trim() {
            "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _unknown => {
                return Err("not a size: a whole number and B, KB, MB, GB, KiB, MiB or GiB".into());
            }
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| "not a size above zero".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_overflows_a_clock() {
        assert!(Duration::read("3650days").is_ok());
        for text in ["11years", "18446744073709551615s", "60", "", "-1s"] {
            assert!(Duration::read(text).is_err(), "{text}");
            assert!(Positive::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("64KiB", 65536), ("1 MB", 1_000_000), ("7B", 7)] {
            assert_eq!(Size::read(text).unwrap().0, bytes);
        }
        for text in ["64", "0B", "", "KiB", "-1B", "1.5MiB", "99999999999GiB"] {
            assert!(Size::read(text).is_err(), "{text}");
        }
    }
}
