//! The shared store: bytes and releases in S3, records in DynamoDB.

pub mod connect;
pub mod terraform_backend;
