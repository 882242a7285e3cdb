//! The tool from outside: real git, real terraform, one small world per test.

mod refactors;
