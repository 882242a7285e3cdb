//! JSON as bytes: one validating scanner that remembers where things are, and decoding on demand.

mod block;
mod decode;
mod scan;

pub(crate) use decode::{decode_string, decode_value, encode_string};
pub(crate) use scan::{Fault, FaultKind, MAXIMUM_DEPTH, Member, Scanner, Span, members, type_name};
