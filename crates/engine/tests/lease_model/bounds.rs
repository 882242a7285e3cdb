//! How far the model goes.

/// Everything in here is finite, so that every order of events can be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How often locks are given.
    pub grants: u8,
    pub crashes: u8,
    /// Answers of the store that are lost after it has done what was asked.
    pub lost_answers: u8,
    /// Locks that a person takes away.
    pub releases: u8,
}

impl Bounds {
    /// Small by default; `INFRA_ROLLBACK_TEST_SCALE` of 10 and more looks at everything that L1 asks for.
    pub fn of_this_run() -> Bounds {
        let scale: usize = std::env::var("INFRA_ROLLBACK_TEST_SCALE")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        if scale >= 10 {
            Bounds {
                grants: 3,
                crashes: 2,
                lost_answers: 2,
                releases: 1,
            }
        } else {
            Bounds {
                grants: 2,
                crashes: 1,
                lost_answers: 1,
                releases: 1,
            }
        }
    }

    /// Enough for every seeded bug, and no more: the first example ends the search.
    pub fn of_bugs() -> Bounds {
        Bounds {
            grants: 3,
            crashes: 2,
            lost_answers: 1,
            releases: 1,
        }
    }
}
