//! JSON as bytes: one validating scanner that remembers where things are, and decoding on demand.

mod block;
mod decode;
mod scan;
mod span;
mod token;

pub(crate) use decode::{decode_string, decode_value, encode_string};
pub(crate) use scan::{MAXIMUM_DEPTH, Scanner, members, type_name};
pub(crate) use span::{Fault, FaultKind, Member, Span};
