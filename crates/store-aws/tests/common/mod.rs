//! The emulators that `tests/run` starts, and a bucket and a table of one's own in them.

// Each test file uses a part; a test that is skipped has nobody else to tell why.
#![allow(dead_code, clippy::print_stderr)]

pub mod faulty;

use rollback_store_aws::{AwsStore, Location};
use uuid::Uuid;

/// Where the emulators listen.
#[derive(Clone)]
pub struct Servers {
    pub s3: String,
    pub dynamodb: String,
}

impl Servers {
    /// moto for both. `None`, said on stderr, where the tests run offline.
    ///
    /// # Panics
    /// There is none and the tests do not run offline.
    pub fn moto() -> Option<Servers> {
        let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL") else {
            let offline = std::env::var("INFRA_ROLLBACK_TESTS").is_ok_and(|value| value == "offline");
            assert!(offline, "AWS_ENDPOINT_URL is not set: run the tests by tests/run");
            eprintln!("skipped: the tests run offline");
            return None;
        };
        Some(Servers {
            s3: endpoint.clone(),
            dynamodb: endpoint,
        })
    }

    /// DynamoDB Local for the table. `None`, said on stderr, where it is not there.
    pub fn dynamodb_local() -> Option<Servers> {
        let servers = Servers::moto()?;
        let Ok(dynamodb) = std::env::var("INFRA_ROLLBACK_TEST_DYNAMODB") else {
            eprintln!("skipped: INFRA_ROLLBACK_TEST_DYNAMODB is not set");
            return None;
        };
        Some(Servers { dynamodb, ..servers })
    }

    /// The better one of both for the table.
    pub fn best() -> Option<Servers> {
        match std::env::var_os("INFRA_ROLLBACK_TEST_DYNAMODB") {
            Some(_) => Servers::dynamodb_local(),
            None => Servers::moto(),
        }
    }

    /// The URL of a store that is nobody else's.
    pub fn url(&self) -> String {
        let unique = Uuid::new_v4();
        format!(
            "s3://test-{unique}/some/where?region=us-east-1&endpoint={}&dynamodb_endpoint={}",
            self.s3, self.dynamodb
        )
    }

    pub fn location(&self) -> Location {
        Location::parse(&self.url()).unwrap()
    }
}

/// A store whose bucket and table were made.
pub fn store(servers: &Servers) -> AwsStore {
    let store = AwsStore::open(&servers.location()).unwrap();
    store.create_missing(false, &|_| ()).unwrap();
    store
}
