//! What contenders for one lock and their judge agree on.

use rollback_engine::run::Run;

pub const STACK: &str = "contended";
/// The id of the record that every holder replaces under its fence.
pub const REGISTER: &str = "register";

/// What the register says: how often it was written, and under which token last.
pub struct Register {
    pub number: u64,
    pub token: u64,
}

/// # Panics
/// It holds something else.
pub fn read(register: &Run) -> Register {
    let text = register.reason.as_deref().unwrap_or("0 0");
    let (number, token) = text.split_once(' ').expect("two numbers");
    Register {
        number: number.parse().expect("a number"),
        token: token.parse().expect("a number"),
    }
}
