//! Numbers and versions compared as what they are, not as they are written.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// A decimal number in one form: sign, digits without zeros at either end, and where the point stands.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    /// The value is `0.digits × 10^exponent`.
    exponent: i64,
}

impl Decimal {
    fn read(text: &str) -> Option<Decimal> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Decimal {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let exponent = exponent
            .checked_add(i64::try_from(whole.len()).ok()?)?
            .checked_sub(i64::try_from(zeros).ok()?)?;
        Some(Decimal {
            negative,
            digits,
            exponent,
        })
    }

    fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |number: &Decimal| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let magnitude = || {
            self.exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits))
        };
        sign(self).cmp(&sign(other)).then_with(|| {
            if self.negative {
                magnitude().reverse()
            } else {
                magnitude()
            }
        })
    }
}

/// Whether two numbers are equal: `1e3`, `1000` and `1000.0` are, 2^53 and 2^53+1 are not.
pub(crate) fn equal(left: &Number, right: &Number) -> bool {
    let (left, right) = (left.to_string(), right.to_string());
    left == right
        || match (Decimal::read(&left), Decimal::read(&right)) {
            (Some(left), Some(right)) => left == right,
            _ => false,
        }
}

/// Compares two values that are numbers, or strings that hold numbers.
pub(crate) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    let read = |value: &Value| match value {
        Value::Number(number) => Decimal::read(&number.to_string()),
        Value::String(text) => Decimal::read(text.trim()),
        _ => None,
    };
    Some(read(left)?.compare(&read(right)?))
}

/// Compares versions part by part, numbers as numbers: `9.6` is before `14.1`.
///
/// What one version leaves open counts as equal: `8.0` and `8.0.35` are one version, as a provider
/// that is given `8.0` reports `8.0.35`.
pub(crate) fn compare_versions(left: &str, right: &str) -> Ordering {
    let mut left = parts(left);
    let mut right = parts(right);
    loop {
        match (left.next(), right.next()) {
            (Some(left), Some(right)) => {
                let order = match (left.parse::<u128>(), right.parse::<u128>()) {
                    (Ok(left), Ok(right)) => left.cmp(&right),
                    _ => left.cmp(right),
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
            _ => return Ordering::Equal,
        }
    }
}

/// The runs of digits and the runs of letters.
fn parts(version: &str) -> impl Iterator<Item = &str> {
    let version = version.trim();
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    version
        .split(|each: char| !each.is_ascii_alphanumeric())
        .flat_map(split_digits)
        .filter(|part| !part.is_empty())
}

fn split_digits(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?.is_ascii_digit();
        let end = rest
            .bytes()
            .position(|byte| byte.is_ascii_digit() != first)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).expect("a number")
    }

    #[test]
    fn numbers_are_equal_by_value_and_never_rounded() {
        for (left, right) in [
            ("1e3", "1000"),
            ("1.0", "1"),
            ("0", "-0.0"),
            ("0.1", "1e-1"),
            ("12.50", "12.5"),
        ] {
            assert!(equal(&number(left), &number(right)), "{left} {right}");
        }
        for (left, right) in [
            ("9007199254740992", "9007199254740993"),
            ("1", "-1"),
            ("10", "1"),
            ("0.1", "0.01"),
            ("1e400", "1e401"),
        ] {
            assert!(!equal(&number(left), &number(right)), "{left} {right}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let order = |left: &str, right: &str| compare(&Value::from(left), &Value::Number(number(right)));
        assert_eq!(order("9", "10"), Some(Ordering::Less));
        assert_eq!(order("100", "20"), Some(Ordering::Greater));
        assert_eq!(order("-5", "3"), Some(Ordering::Less));
        assert_eq!(order("-5", "-6"), Some(Ordering::Greater));
        assert_eq!(order("0.5", "0.25"), Some(Ordering::Greater));
        assert_eq!(order("x", "3"), None);
    }

    #[test]
    fn versions_compare_by_parts() {
        assert_eq!(compare_versions("9.6", "14.1"), Ordering::Less);
        assert_eq!(compare_versions("8.0", "8.0.35"), Ordering::Equal);
        assert_eq!(compare_versions("15.4", "15.3"), Ordering::Greater);
        assert_eq!(
            compare_versions("8.0.mysql_aurora.3.04.0", "5.7.mysql_aurora.2.11.1"),
            Ordering::Greater
        );
        assert_eq!(compare_versions("v1.29", "1.30"), Ordering::Less);
        assert_eq!(compare_versions("POSTGRES_13", "POSTGRES_15"), Ordering::Less);
        assert_eq!(compare_versions("OpenSearch_2.11", "OpenSearch_2.9"), Ordering::Greater);
    }
}
